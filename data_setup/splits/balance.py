"""Age and sex in splits: the order in which patients are drawn so that both are balanced, and how well they are.

Systematic sampling: the patients of a class are sorted by sex and age, and one is drawn of each run of neighbours
(`split.hold_out`), as from a stratum of its own.
"""

import itertools

import numpy as np
import pandas as pd

from data_setup.splits.split_file import SPLITS

APART = 0.5               # standardised difference within a class, from which a note asks to check
CHANCE = 2.5              # standard errors of the difference, below which it does not


def sort_keys(table: pd.DataFrame) -> np.ndarray | None:
    """A number per slice (n,), equal for a patient's slices: women by rising, then men by falling age; None if unknown.

    Neighbours in this order are of one sex and similar age, also where the sexes meet. Patients without sex come after,
    those without age at the end of their sex. A patient's age is the mean over its slices.
    """
    if not any(table[name].notna().any() for name in ("age", "sex") if name in table):
        return None
    patients = of_patients(table)
    sex = patients["sex"].map({"F": 0, "M": 1}).fillna(2)
    age = patients["age"].where(sex != 1, -patients["age"])
    order = pd.DataFrame({"sex": sex, "missing": age.isna(), "age": age.fillna(0.0)})
    rank = order.sort_values(["sex", "missing", "age"], kind="stable").reset_index().reset_index()
    return table["subject"].map(rank.set_index("subject")["index"]).fillna(len(rank)).to_numpy(dtype=float)


def of_patients(table: pd.DataFrame) -> pd.DataFrame:
    """One row per known patient (index subject): class, split, mean age, sex; of several classes or splits the first.
    """
    known = table[table["subject"].notna()]
    groups = known.groupby("subject", sort=True)
    found = groups[["class", "split"]].first() if "split" in known else groups[["class"]].first()
    age = known["age"].astype(float) if "age" in known else pd.Series(np.nan, index=known.index)
    sex = known["sex"] if "sex" in known else pd.Series(None, index=known.index, dtype=object)
    return found.assign(age=age.groupby(known["subject"]).mean(), sex=sex.groupby(known["subject"]).first())


def balance_notes(table: pd.DataFrame) -> list[str]:
    """How alike the splits' patients are in age and sex; none without either.

    The difference is the largest over classes and pairs of splits of |mean₁ - mean₂| / SD of the class, where they hold
    at least five patients of the class each. A note asks to check it from APART and CHANCE √(1/n₁ + 1/n₂) on, which
    patients drawn at random rarely differ by.
    """
    if sort_keys(table) is None:
        return []
    patients = of_patients(table)
    parts = {name: patients[patients["split"] == name] for name in SPLITS if (patients["split"] == name).any()}
    notes = []
    for name, values, shown in (("age", patients["age"], _mean_age), ("sex", _is_female(patients), _women)):
        if values.notna().any():
            beyond, largest, where = _largest_difference(values, patients)
            end = f"; largest difference within a class {largest:.2f} SD ({where})" if where else ""
            notes.append(f"{'CHECK: ' * beyond}{name}: "
                         + ", ".join(f"{split} {shown(values[part.index])}" for split, part in parts.items()) + end)
    return notes


def _is_female(patients: pd.DataFrame) -> pd.Series:
    return patients["sex"].map({"F": 1.0, "M": 0.0})


def _mean_age(ages: pd.Series) -> str:
    known = ages.dropna()
    spread = f" ± {known.std():.1f}" if len(known) > 1 else ""
    return f"{known.mean():.1f}{spread} years" if len(known) else "unknown"


def _women(female: pd.Series) -> str:
    return f"{female.mean():.0%} women" if female.notna().any() else "unknown"


def _largest_difference(values: pd.Series, patients: pd.DataFrame) -> tuple[bool, float, str]:
    """(whether it asks to check, the difference, its class and splits); of those that ask to check, if any."""
    largest = False, 0.0, ""
    for klass, of_class in patients.groupby("class"):
        inside = values[of_class.index]
        groups = {split: part.dropna() for split, part in inside.groupby(of_class["split"])
                  if part.notna().sum() >= 5}
        spread = inside.std()
        for one, other in itertools.combinations(groups, 2):
            gap = float(abs(groups[one].mean() - groups[other].mean()) / spread) if spread > 0 else 0.0
            error = (1 / len(groups[one]) + 1 / len(groups[other])) ** 0.5
            largest = max(largest, (gap >= max(APART, CHANCE * error), gap, f"{klass}, {one} and {other}"))
    return largest
