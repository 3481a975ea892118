"""What a file or folder in a data set is, judged by its name: an image, litter of a system, or something else."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
                            ".tga", ".tif", ".tiff", ".webp"))

# Files and folders that operating systems, storage devices and tools leave behind, in lower case.
LITTER = frozenset((
    "@eadir", "#recycle", "#snapshot",                                                     # Synology
    "@recycle", "@recently-snapshot",                                                      # QNAP
    "__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder",     # macOS
    "$recycle.bin", "recycler", "recycled", "system volume information", "thumbs.db", "ehthumbs.db",
    "ehthumbs_vista.db", "desktop.ini", "found.000",                                       # Windows
    "lost+found", "__pycache__", "cvs",                                                    # Linux, Python, CVS
))

# Endings of files that accompany a data set and are never slices.
DOCUMENTS = frozenset((".bib", ".cfg", ".csv", ".doc", ".docx", ".htm", ".html", ".ini", ".ipynb", ".json", ".log",
                       ".md", ".md5", ".ods", ".pdf", ".ppt", ".pptx", ".py", ".rst", ".rtf", ".sha256", ".sh",
                       ".toml", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml"))

NO_ENDING, DICOM_WITHOUT_ENDING = "no ending", "DICOM without an ending"

ADVICE = (      # endings, and how such files become images
    ((".dcm", ".dicom", ".ima", ".acr", DICOM_WITHOUT_ENDING),
     "export the DICOM slices as PNG, one file a slice (pydicom or dcm2img can)"),
    ((".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".mgz", ".mgh", ".mha", ".mhd", ".nrrd", ".mnc"),
     "export the slices of each volume as PNG, one file a slice (nibabel reads these volumes)"),
    ((".npy", ".npz", ".mat", ".h5", ".hdf5", ".pkl", ".pt"), "save each array as a PNG file"),
    ((".zip", ".tar", ".tar.gz", ".tgz", ".gz", ".7z", ".rar"), "unpack the archives"),
    ((NO_ENDING,), "give the files the ending of their format, such as .png or .jpg"),
)


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left behind by an operating system or a storage device."""
    return name.startswith(".") or name.lower() in LITTER


def is_image(name: str) -> bool:
    """Whether a file name has the ending of an image format that is read here."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_document(name: str) -> bool:
    """Whether a file is a table, a text or a program: nothing that could be a slice."""
    return Path(name).suffix.lower() in DOCUMENTS


def ending(path: Path) -> str:
    """A file's ending in lower case, ".nii.gz" whole; of one without, whether its content is DICOM."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"] and suffixes[-2:-1] in ([".nii"], [".img"], [".tar"]):
        return "".join(suffixes[-2:])
    if suffixes and not suffixes[-1][1:].isdigit() and " " not in suffixes[-1]:
        return suffixes[-1]
    return DICOM_WITHOUT_ENDING if _is_dicom(path) else NO_ENDING


def _is_dicom(path: Path) -> bool:
    """Whether bytes 128 to 131 are DICM, as DICOM Part 10 says."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def in_words(endings: Mapping[str, int]) -> str:
    """".dcm 230, .txt 2": the commonest endings first."""
    return ", ".join(f"{name} {count:,}" for name, count in Counter(endings).most_common(5))


def what_to_do(endings: Mapping[str, int]) -> str:
    """How files with these endings become images that can be read, for the commonest ending."""
    for name, _ in Counter(endings).most_common():
        for names, advice in ADVICE:
            if name in names:
                return advice
    return "convert what is a slice to PNG"
