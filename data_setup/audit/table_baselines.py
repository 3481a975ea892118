"""What a clinical table says of the slices to score, and the baselines that it makes possible."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_setup.audit.baseline_features import four_number_probabilities, patient_table
from data_setup.clinical.describe import describe
from data_setup.clinical.table import ClinicalTable
from data_setup.listing.class_folders import class_name
from data_setup.loading.predict_data import RowsToScore
from functions.runtime.errors import UserError

TRAITS = ["age", "sex", "site", "scanner"]
AGE_SEX, RULER = "age and sex", "four numbers, age and sex"


def add_traits(rows: RowsToScore, of_test: ClinicalTable, of_run: ClinicalTable | None) -> None:
    """Adds the columns TRAITS to the test slices, from `of_test`, and to those of train and val, from `of_run`.

    What the tables say of the slices beside this becomes notes. Raises UserError if `of_test` has none of the test
    patients.
    """
    for part, table in rows.parts.items():
        source = of_test if part == "test" else of_run
        if source is None:
            continue
        try:
            said = describe(source, table["path"].tolist(), _ids(table), needs_class=False)
        except UserError:
            if part == "test":
                raise
            continue                               # `table_baselines` says that there is nothing to fit
        rows.parts[part] = table.assign(**{name: said.table[name] for name in TRAITS})
        if part == "test":
            made = [*source.notes, *(note for note in said.notes if "have no images" not in note),
                    *(f"CHECK: {fault}" for fault in said.faults)]
            rows.notes += [note for note in made if note not in rows.notes]       # a flat folder's have been made


def table_baselines(rows: RowsToScore, class_names: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """(baseline → class probabilities of the test slices (n, K), notes): logistic regressions without a network.

    AGE_SEX on age and sex (or the one of them that the table has), RULER on these and the four pixel statistics of
    `baseline_features`; fitted to the run's training and validation patients, without tuning. nan for a patient whose
    age or sex is unknown.
    """
    known = [rows.parts[part] for part in ("train", "val") if part in rows.parts and "age" in rows.parts[part]]
    if not known:
        return {}, ["no baselines of age and sex: the run's training patients are not available, or not in a table"]
    parts = [pd.concat(known, ignore_index=True), rows.test]
    if any(part["subject"].isna().any() for part in parts):
        return {}, ["no baselines of age and sex: some patients are unknown"]
    names = [class_name(one) for one in class_names]
    patients = [part.groupby(["subject", "class"], sort=True).agg(age=("age", "mean"), sex=("sex", "first"))
                for part in parts]
    values = [one.assign(sex=one["sex"].map({"F": 1.0, "M": 0.0})).astype(float) for one in patients]
    columns = [name for name in ("age", "sex") if all(one[name].notna().any() for one in values)]
    if not columns:
        return {}, ["no baselines of age and sex: both are unknown in training or in test"]
    found, notes = {}, []
    for name, features in ((" and ".join(columns), None), (RULER.replace(AGE_SEX, " and ".join(columns)), parts)):
        try:
            tables = [one[columns] for one in values] if features is None else [
                one[columns].join(_four_numbers(part)) for one, part in zip(values, parts, strict=True)]
            found[name] = _fitted(tables, rows.test, names)
        except UserError as error:
            notes.append(f"no baseline of {name}: {error}")
    return found, notes


def _ids(table: pd.DataFrame) -> list[str | None]:
    return [None if pd.isna(subject) else subject for subject in table["subject"]]


def _four_numbers(part: pd.DataFrame) -> pd.DataFrame:
    """Four numbers in four slabs of each (subject, class)."""
    numbers, keys = patient_table(part["path"].tolist(), list(zip(part["subject"], part["class"], strict=True)))
    return pd.DataFrame(numbers, index=pd.MultiIndex.from_tuples(keys, names=["subject", "class"]))


def _fitted(tables: Sequence[pd.DataFrame], test: pd.DataFrame, class_names: Sequence[str]) -> np.ndarray:
    """Probabilities (n, K) of the test slices by a logistic regression of the class on the first table's columns."""
    train, unseen = (table.dropna() for table in tables)
    if len(set(train.index.get_level_values("class"))) < 2:
        raise UserError("fewer than two classes have training patients whose values are known")
    if unseen.empty:
        raise UserError("it is unknown of every test patient")
    features = np.concatenate([train.to_numpy(), unseen.to_numpy()])
    fitted = np.arange(len(features)) < len(train)
    labels = np.array([class_names.index(name) for table in (train, unseen)
                       for name in table.index.get_level_values("class")])
    p = four_number_probabilities(features, labels, fitted, len(class_names))
    row_of = {key: row for row, key in enumerate(unseen.index)}
    missing = np.full(len(class_names), np.nan)
    return np.array([p[row_of[key]] if key in row_of else missing
                     for key in zip(test["subject"], test["class"], strict=True)])
