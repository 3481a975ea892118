"""File types by name: images, system files, documents, or anything else."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
                            ".tga", ".tif", ".tiff", ".webp"))

# Files and folders created by operating systems, storage devices and tools, in lower case.
LITTER = frozenset((
    "@eadir", "#recycle", "#snapshot",                                                     # Synology
    "@recycle", "@recently-snapshot",                                                      # QNAP
    "__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder",     # macOS
    "$recycle.bin", "recycler", "recycled", "system volume information", "thumbs.db", "ehthumbs.db",
    "ehthumbs_vista.db", "desktop.ini", "found.000",                                       # Windows
    "lost+found", "__pycache__", "cvs",                                                    # Linux, Python, CVS
))

# Extensions of files that accompany a data set and are never slices.
DOCUMENTS = frozenset((".bib", ".cfg", ".csv", ".doc", ".docx", ".htm", ".html", ".ini", ".ipynb", ".json", ".log",
                       ".md", ".md5", ".ods", ".pdf", ".ppt", ".pptx", ".py", ".rst", ".rtf", ".sha256", ".sh",
                       ".toml", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml"))

NO_ENDING, DICOM_WITHOUT_ENDING = "no ending", "DICOM without an ending"

ADVICE = (      # endings, and how such files become images
    ((".dcm", ".dicom", ".ima", ".acr", DICOM_WITHOUT_ENDING),
     "make slices of the DICOM series with tools/prepare_data.py"),
    ((".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".mgz", ".mgh", ".mha", ".mhd", ".nrrd", ".mnc"),
     "make slices of the volumes with tools/prepare_data.py"),
    ((".npy", ".npz", ".mat", ".h5", ".hdf5", ".pkl", ".pt"), "save each array as a PNG file"),
    ((".zip", ".tar", ".tar.gz", ".tgz", ".gz", ".7z", ".rar"), "unpack the archives"),
    ((NO_ENDING,), "give the files the extension of their format, such as .png or .jpg"),
)


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or created by an operating system or a storage device."""
    return name.startswith(".") or name.lower() in LITTER


def is_image(name: str) -> bool:
    """Whether a file name has the extension of a supported image format."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_document(name: str) -> bool:
    """Whether a file is a table, a text or a program, which cannot be a slice."""
    return Path(name).suffix.lower() in DOCUMENTS


def ending(path: Path) -> str:
    """A file's extension in lower case, with ".nii.gz" as one; for a file without one, whether it is DICOM."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"] and suffixes[-2:-1] in ([".nii"], [".img"], [".tar"]):
        return "".join(suffixes[-2:])
    if suffixes and not suffixes[-1][1:].isdigit() and " " not in suffixes[-1]:
        return suffixes[-1]
    return DICOM_WITHOUT_ENDING if _is_dicom(path) else NO_ENDING


def _is_dicom(path: Path) -> bool:
    """Whether bytes 128 to 131 are DICM (DICOM Part 10)."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def format_counts(endings: Mapping[str, int]) -> str:
    """For example `.dcm 230, .txt 2`: the most common extensions first."""
    return ", ".join(f"{name} {count:,}" for name, count in Counter(endings).most_common(5))


def conversion_advice(endings: Mapping[str, int]) -> str:
    """How to convert files of the most common extension to a supported image format."""
    for name, _ in Counter(endings).most_common():
        for names, advice in ADVICE:
            if name in names:
                return advice
    return "convert slices among them to PNG"
