"""The values of a clinical table: ages in years, sex, Clinical Dementia Ratings and coded diagnoses.

Missing are empty cells, the markers of `path_tables.MISSING` (NA, n/a, ?, …), and LONI's codes -4 and -1. Each reader
returns None for a missing value and raises ValueError, with the reason, for one that cannot be right.
"""

import re
from datetime import datetime

from data_setup.subjects.path_tables import is_missing

MAX_AGE = 120.0
AGE = re.compile(r"(?P<number>[0-9]{1,3}(?:\.[0-9]+|,(?![0-9]{3}$)[0-9]+)?)\s*(?:y|yrs?|years?)?", re.IGNORECASE)
OLDEST = re.compile(r"(?P<number>[0-9]{2,3})\s?\+")         # 89+: an age that was capped for privacy
SEXES = {"m": "M", "male": "M", "man": "M", "1": "M", "f": "F", "female": "F", "woman": "F", "2": "F", "o": "O",
         "other": "O"}                                      # BIDS 1.10; 1 and 2 as at LONI
RATINGS = (0.0, 0.5, 1.0, 2.0, 3.0)                         # Morris 1993, Neurology 43:2412
YEAR_FIRST = re.compile(r"([0-9]{4})([-/.]?)([0-9]{1,2})\2([0-9]{1,2})(?![0-9])")
YEAR_LAST = re.compile(r"([0-9]{1,2})([/.-])([0-9]{1,2})\2([0-9]{4})(?![0-9])")
DAY = "%Y%m%d"
YEAR = re.compile(r"(?<![0-9])(?:18|19|20)[0-9]{2}(?![0-9])")
CODES = {"1": "CN", "2": "MCI", "3": "AD"}                  # of ADNI's and AIBL's DXCURREN


def absent(cell: str) -> bool:
    """Whether a cell has no value."""
    return cell.strip() in ("-4", "-1", "-4.0", "-1.0") or is_missing(cell)


def read_age(cell: str) -> float | None:
    """Years, 0 to MAX_AGE: 74, 74.5, 74,5, 074Y (DICOM), 89+ (as 89)."""
    if absent(cell):
        return None
    text = cell.strip()
    match = AGE.fullmatch(text) or OLDEST.fullmatch(text)
    if match is None:
        raise ValueError("is not a number of years")
    age = float(match["number"].replace(",", "."))
    if age > MAX_AGE:
        raise ValueError(f"is not between 0 and {MAX_AGE:g} years")
    return age


def read_sex(cell: str) -> str | None:
    """M, F or O (other)."""
    if absent(cell):
        return None
    text = re.sub(r"\.0+$", "", cell.strip().casefold())
    if text == "0":
        raise ValueError("is ambiguous: write M and F, or 1 (male) and 2 (female)")
    if text not in SEXES:
        raise ValueError("is none of M, F, male, female, 1 (male), 2 (female), other")
    return SEXES[text]


def read_rating(cell: str) -> str | None:
    """The class of a Clinical Dementia Rating: "CDR 0.5"."""
    if absent(cell):
        return None
    text = cell.strip().replace(",", ".")
    value = float(text) if re.fullmatch(r"[0-3](\.[0-9]+)?|\.[0-9]+", text) else None
    if value not in RATINGS:
        raise ValueError(f"is no Clinical Dementia Rating ({', '.join(f'{rating:g}' for rating in RATINGS)})")
    return f"CDR {value:g}"


def read_code(cell: str) -> str | None:
    """The class of a coded diagnosis: 1 CN, 2 MCI, 3 AD."""
    if absent(cell):
        return None
    text = re.sub(r"\.0+$", "", cell.strip())
    if text not in CODES:
        raise ValueError("is none of the codes 1 (CN), 2 (MCI), 3 (AD)")
    return CODES[text]


def read_date(cell: str, day_first: bool = False) -> str:
    """A date as YYYYMMDD, from 2006-04-18, 20060418, 18.4.2006, and 4/18/2006 or, with `day_first`, 18/4/2006; "" for
    any other text.
    """
    text = cell.strip()
    if match := YEAR_FIRST.match(text):
        year, month, day = (int(match[number]) for number in (1, 3, 4))
    elif match := YEAR_LAST.match(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        day, month = (second, first) if match[2] == "/" and not day_first else (first, second)
    else:
        return ""
    return f"{year:04d}{month:02d}{day:02d}" if 1 <= month <= 12 and 1 <= day <= 31 else ""


def age_between(birth: str, visit: str, day_first: bool = False) -> str:
    """The text of an age, which `read_age` reads or refuses: years from birth to a visit, such as 74.3.

    Where one of them is a year alone (/1935), the difference of the years; "" if one is missing.
    """
    if absent(birth) or absent(visit):
        return ""
    born, seen = (read_date(cell, day_first) for cell in (birth, visit))
    try:
        if born and seen:
            return f"{(datetime.strptime(seen, DAY) - datetime.strptime(born, DAY)).days / 365.25:.1f}"
        [first], [last] = (YEAR.findall(cell) for cell in (birth, visit))
        return str(int(last) - int(first))
    except ValueError:              # no such day, or not one year
        return f"{birth} to {visit}"


def read_text(cell: str) -> str | None:
    """A site or scanner."""
    return None if absent(cell) else " ".join(cell.split())


def read_years(cell: str) -> float | None:
    """Years since baseline."""
    if absent(cell):
        return None
    try:
        value = float(cell.strip().replace(",", "."))
    except ValueError:
        raise ValueError("is not a number") from None
    if not -1 <= value <= MAX_AGE * 12:
        raise ValueError("is not a time since baseline")
    return value
