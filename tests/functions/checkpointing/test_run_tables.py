import numpy as np
import pytest

from functions.checkpointing.run_tables import CURVES, TEST_CURVES, read_curves, read_predictions, read_split
from functions.runtime.errors import UserError
from tests.conftest import NO_FILES

HEAD = ",".join(("epoch", *CURVES, *TEST_CURVES, "learning_rate"))
CURVE = f"{HEAD}\n1,1,0.25,1,0.5,1,0.75,1e-4\n2,0.5,0.5,1,0.5,1,0.75,1e-4\n"
PREDICTED = "path,subject,label,AD,path2\na/1.png,P1,AD,0.25,0.75\na/2.png,,path2,0.5,0.5\n"
SPLIT = "path,class,subject,split\na/1.png,AD,P1,train\na/2.png,CN,,test\n"


def test_curves_are_the_pickles_entries(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(CURVE)
    curves = read_curves(path)
    assert list(curves) == [*CURVES, *TEST_CURVES]
    assert (curves["train_loss"], curves["val_acc"], curves["test_acc"]) == ([1, 0.5], [0.5, 0.5], [0.75, 0.75])


def test_a_run_without_test_curves_has_those_of_training_and_validation(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(f"{','.join(('epoch', *CURVES))}\n1,1,0.25,1,0.5\n")
    assert read_curves(path) == {"train_loss": [1], "train_acc": [0.25], "val_loss": [1], "val_acc": [0.5]}


def test_a_split_is_text(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text(SPLIT)
    assert read_split(path).to_numpy().tolist() == [["a/1.png", "AD", "P1", "train"], ["a/2.png", "CN", "", "test"]]


@pytest.mark.parametrize(("content", "complaint"), [
    ("", "columns: epoch"), (HEAD, "no rows"), (CURVE.replace("val_acc", "x"), "columns: val_acc"),
    (CURVE.replace("test_acc", "x"), "columns: test_acc"), (CURVE.replace("0.75", "much"), "row 2, test_acc is 'much'"),
    (CURVE.replace("learning_rate", "train_loss"), "repeated columns: train_loss"),
    (CURVE.replace("\n2,0.5", "\n2"), "row 3 does not have 8 fields"),
    (CURVE.replace("\n2,0.5", "\n2,0.5,0.5"), "row 3 does not have 8 fields"),
    (CURVE.replace("\n2,0.5", "\n2,nan"), "row 3, train_loss is 'nan', not a finite number"),
    (CURVE.replace("\n2,0.5", "\n2,inf"), "row 3, train_loss is 'inf'"),
    (CURVE.replace("\n2,0.5", "\n2,"), "row 3, train_loss is ''"),
    (CURVE.replace("\n2,0.5", "\n2,=1+1"), "row 3, train_loss is '=1+1'"),
    (CURVE.replace("\n2,", "\n3,"), "its epochs are not 1, 2, … 2"), (CURVE.replace("\n2,", "\n1,"), "epochs are not"),
    (CURVE[:-5] + ',"', "not a CSV"), (b"\xff\xfe" + CURVE.encode("utf-16-le"), "not a CSV in UTF-8"),
    (b"\x80\x04\x95\x0f", "not a CSV in UTF-8"), ("x" * 200_000, "not a CSV"),
])
def test_damaged_curves_are_one_line(content, complaint, tmp_path):
    path = tmp_path / "results.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read_curves(path)
    assert complaint in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "complaint"), [
    ("path,class,subject\na,b,c\n", "columns: split"), (SPLIT.replace(",test", ",tset"), "row 3, split is 'tset'"),
    (SPLIT.replace("a/2", "a\0/2"), "row 3, path contains a NUL"),
    (SPLIT.replace("P1,", ""), "row 2 does not have 4 fields"),
])
def test_a_damaged_split_is_one_line(content, complaint, tmp_path):
    path = tmp_path / "split.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_split(path)


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "t.csv")
    with pytest.raises(UserError, match=f"t.csv: {kind}"):
        read_split(tmp_path / "t.csv")


def test_predictions_are_those_that_were_written(tmp_path):
    read = read_predictions(_file(tmp_path, PREDICTED), ["path2", "AD"])
    assert (read.paths, read.given_subjects) == (["a/1.png", "a/2.png"], ["P1", None])
    assert read.labels.tolist() == [1, 0]
    assert read.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    read.table().to_csv(tmp_path / "again.csv", index=False)
    np.testing.assert_equal(read_predictions(tmp_path / "again.csv", ["path2", "AD"]).probabilities, read.probabilities)


@pytest.mark.parametrize(("content", "complaint"), [
    (PREDICTED.replace(",AD,0", ",XX,0"), "row 2, label is 'XX', not a class of the run"),
    (PREDICTED.replace("0.25", "nan"), "row 2, AD is 'nan'"),
    (PREDICTED.replace("0.25", "0.35"), "row 2, the probabilities are not between 0 and 1 with sum 1"),
    (PREDICTED.replace("0.25", "-0.25").replace("0.75", "1.25"), "row 2, the probabilities are not"),
    (PREDICTED.replace("path2\n", "x\n", 1), "columns: path2"),
])
def test_damaged_predictions_are_one_line(content, complaint, tmp_path):
    with pytest.raises(UserError, match=complaint):
        read_predictions(_file(tmp_path, content), ["path2", "AD"])


def _file(folder, content):
    (folder / "predictions.csv").write_text(content)
    return folder / "predictions.csv"
