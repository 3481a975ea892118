"""Classes that are stages of one disease, and their order from healthy to severe."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from functions.runtime.errors import UserError

# Words around the stage in class names of data sets: "Final AD JPEG", "Mild_Demented_images", "CDR-0.5".
FILLERS = frozenset(("final", "jpeg", "jpg", "png", "image", "images", "slices", "mri", "class", "group", "stage",
                     "patient", "patients", "subjects", "the", "s", "disease", "cdr"))
HEALTHY = ("cn", "cognitivelynormal", "cognitivenormal", "control", "controls", "hc", "healthy", "healthycontrol",
           "healthycontrols", "nc", "nl", "normal", "normalcontrol", "normalcontrols")
ILL = ("ad", "alzheimer", "alzheimers", "alzheimersdementia", "alzheimerdementia", "dementia", "demented", "dat")
# Each scale lists the names of its stages in order: degrees of dementia, or diagnoses up to Alzheimer's disease.
SEVERITY = ("", "very mild", "mild", "moderate", "severe")
NOT_DEMENTED = ("nondemented", "notdemented", "nodementia", "nondementia", "noimpairment", "nonimpaired", "unimpaired")
DEGREES = tuple(NOT_DEMENTED + HEALTHY if not degree else tuple(
    degree.replace(" ", "") + end for end in ("", "demented", "dementia", "impairment", "impaired", "alzheimer",
                                              "alzheimers", "ad")) for degree in SEVERITY)
DIAGNOSES = (
    NOT_DEMENTED + HEALTHY,
    ("smc", "scd", "sci", "significantmemoryconcern", "subjectivecognitivedecline", "subjectivememorycomplaint"),
    ("emci", "earlymci", "earlymildcognitiveimpairment"),
    ("smci", "stablemci", "nmci", "stablemildcognitiveimpairment"),
    ("mci", "mildcognitiveimpairment", "ci", "cognitiveimpairment", "cognitivelyimpaired"),
    ("lmci", "latemci", "latemildcognitiveimpairment"),
    ("pmci", "cmci", "progressivemci", "progressivemildcognitiveimpairment", "converter", "converted"),
    ILL,
)
# Any other disease.
PRESENCE = (HEALTHY, ("abnormal", "disease", "diseased", "ill", "pathological", "patient", "patients", "sick",
                      "unhealthy"))
SCALES = (DEGREES, DIAGNOSES, PRESENCE)


def stage_order(class_names: Sequence[str], given: str | None = None) -> list[int] | None:
    """Class indices from the mildest to the most severe stage, as `given` ("A,B,C") or by known names; else None.

    A name with a comma may be quoted (`"Mild, early",CN`). Raises UserError unless `given` lists exactly the classes.
    """
    if given is not None:
        names = [unicodedata.normalize("NFC", name) for name in class_names]
        return [names.index(name) for name in _as_given(unicodedata.normalize("NFC", given), names)]
    numbers: Sequence[float] | None = _ratings(class_names)
    if numbers is None:
        plain = _plain_names(class_names)
        numbers = next((ranks for ranks in (_ranks(plain, scale) for scale in SCALES) if ranks), None)
    return sorted(range(len(class_names)), key=lambda k: numbers[k]) if numbers else None


def healthy_stage(class_names: Sequence[str]) -> int | None:
    """The index of the class without disease, recognised by its name; None unless there is exactly one."""
    ratings = _ratings(class_names)
    found = [k for k, name in enumerate(_plain_names(class_names))
             if name in NOT_DEMENTED + HEALTHY or (ratings and ratings[k] == 0)]
    return found[0] if len(found) == 1 else None


def are_of_dementia(class_names: Sequence[str]) -> bool:
    """Whether a class is named as a degree of dementia, or a diagnosis up to Alzheimer's disease."""
    own = {name for names in (*DEGREES, *DIAGNOSES) for name in names} - {*HEALTHY, *SEVERITY, "verymild"}
    return _ratings(class_names) is not None or any(plain_name(name) in own for name in class_names)


def plain_name(name: str) -> str:
    """A class name in lower-case letters without filler words: "Final AD JPEG" → "ad"."""
    words = _words(name)
    return "".join(word for word in words if word not in FILLERS) or "".join(words)


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _plain_names(class_names: Sequence[str]) -> list[str]:
    """The plain names; of "no stenosis", "mild stenosis", "stenosis" without what all name: normal, mild, abnormal."""
    plain = [plain_name(name) for name in class_names]
    for name, (first, *rest) in zip(plain, ([*_words(name), ""] for name in class_names), strict=True):
        finding = name.removeprefix(first)
        if first in ("no", "without") and any(rest) and all(other.endswith(finding) for other in plain):
            return ["normal" if other == name else other.removesuffix(finding) or "abnormal" for other in plain]
    return plain


def order_hint(class_names: Sequence[str]) -> str:
    """The message for classes without a known order."""
    example = ",".join(f'"{name}"' if "," in name else name for name in class_names)
    return (f"no order of stages is known for these classes, so kappa is not computed: if they are stages, list them "
            f"from the mildest to the most severe, such as --order '{example}'")


def _ranks(plain: Sequence[str], scale: Sequence[Sequence[str]]) -> list[int] | None:
    """The stage of each name on a scale; None unless all names have different stages."""
    ranks = [rank for name in plain for rank, names in enumerate(scale) if name in names]
    return ranks if len(set(ranks)) == len(ranks) == len(plain) else None


def _ratings(class_names: Sequence[str]) -> list[float] | None:
    """The Clinical Dementia Ratings in the class names ("CDR 0.5", "cdr_1"); None if they are not ratings.

    Bare numbers are ratings only if 0.5 is among them: others may be class indices in alphabetical order.
    """
    matches = [re.fullmatch(r"(cdr)?[\s_=-]*(0[.,_]5|[0-3](?:[.,_]0)?)", name.strip().lower()) for name in class_names]
    known = [match for match in matches if match]
    if len(known) < len(matches):
        return None
    ratings = [float(re.sub("[,_]", ".", match[2])) for match in known]
    sure = all(match[1] for match in known) or 0.5 in ratings
    return ratings if sure and len(set(ratings)) == len(ratings) else None


def _as_given(given: str, names: Sequence[str]) -> list[str]:
    """The class names in the given order; raises UserError unless each occurs once and the text is unambiguous."""
    readings = list(_readings(given.strip(), frozenset(names)))
    if len(readings) == 1:
        return readings[0]
    listed = ",".join(f'"{name}"' if "," in name else name for name in names)
    raise UserError(f'--order "{given}" must name each class once: {listed}')


def _readings(text: str, names: frozenset[str]) -> Iterator[list[str]]:
    """All ways to parse a text as a comma-separated list of these names, quoted or not."""
    if not names:
        yield from [[]] if not text else []
        return
    for name in names:
        for form in (name, f'"{name}"'):
            rest = text[len(form):].lstrip()
            if text.startswith(form) and rest.startswith(",") == (len(names) > 1):
                yield from ([name, *others] for others in _readings(rest.removeprefix(",").lstrip(), names - {name}))
