from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from data_setup.images.read import read_image
from functions.app.answer import MAX_FILES, SIMILAR
from functions.checkpointing.checkpoint import save_checkpoint
from functions.prediction.reference import NAME, Reference, load_reference
from functions.runtime.errors import UserError

CHECKPOINT = {"class_names": ["AD", "CN", "MCI"], "run_id": "r", "epoch": 3}


def logits_of(predictor, paths):
    with torch.inference_mode():
        pixels = [torch.from_numpy(read_image(path, 1)).permute(2, 0, 1) for path in paths]
        return predictor.model(predictor.transform(torch.stack(pixels))).double().numpy()


def softmax(values):
    odds = np.exp(values - values.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def test_probabilities_are_the_logits_over_the_temperature_and_the_patients_are_their_mean(predictor, new):
    paths = [new("a.png", 50), new("b.png", 51), new("c.png", 52)]
    answer = predictor.answer(paths)
    expected = softmax(logits_of(predictor, paths) / predictor.temperature)
    assert abs(predictor.temperature - 1) > 0.1, "else this test proves nothing"
    assert [found.name for found in answer.slices] == ["a.png", "b.png", "c.png"]
    np.testing.assert_allclose([found.probabilities for found in answer.slices], expected, atol=1e-5)
    np.testing.assert_allclose(answer.patient, expected.mean(axis=0), atol=1e-5)


def test_the_temperature_minimises_the_loss_of_the_validation_slices_with_their_own_labels(predictor):
    reference = predictor.reference
    p, y = reference.val_probabilities.double().numpy(), np.array(reference.val_labels)
    assert y.tolist() == [2] * 8 + [0] * 4

    def loss(log_t):
        return -np.log(softmax(np.log(p) / np.exp(log_t))[np.arange(len(y)), y]).mean()

    assert 0.05 < reference.temperature < 19.9
    assert approx_fprime(np.log([reference.temperature]), lambda x: loss(x[0]), 1e-6) == pytest.approx(0, abs=1e-4)


def test_without_validation_slices_the_probabilities_are_the_networks_own(uncalibrated, new):
    path = new("a.png", 50)
    answer = uncalibrated.answer([path])
    assert uncalibrated.temperature is None
    np.testing.assert_allclose(answer.patient, softmax(logits_of(uncalibrated, [path]))[0], atol=1e-5)
    assert answer.slices[0].similar == ()
    assert (answer.slices[0].row.outside, answer.slices[0].row.novelty) == ("", None)


def test_a_file_that_cannot_be_read_has_its_reason_and_the_others_their_prediction(predictor, new, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40)
    (tmp_path / "empty.png").touch()
    good = new("good.png", 50)
    answer = predictor.answer([str(tmp_path / "bad.png"), good, str(tmp_path / "empty.png"), str(tmp_path)])
    assert [bool(found.error) for found in answer.slices] == [True, False, True, True]
    assert answer.slices[2].error == "empty file (0 bytes)"
    assert str(tmp_path) not in "".join(found.error for found in answer.slices), "names only, no folder"
    np.testing.assert_array_equal(answer.patient, predictor.answer([good]).patient)
    nothing = predictor.answer([str(tmp_path / "empty.png")])
    assert (nothing.read, nothing.patient) == ([], None)


def test_an_output_that_is_not_finite_is_a_line(predictor, new, monkeypatch):
    monkeypatch.setattr(predictor.extract.head.bias, "data", torch.full((3,), float("nan")))
    answer = predictor.answer([new("a.png")])
    assert (answer.slices[0].error, answer.patient) == ("the network's output is not finite", None)


def test_the_flags_are_those_of_each_slice(predictor, new, tmp_path):
    colour = tmp_path / "colour.png"
    from PIL import Image
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)).save(colour)
    white = tmp_path / "white.png"
    Image.new("L", (12, 16), 255).save(white)
    paths = [new("seen.png", 3), new("a.png", 90), str(colour), str(white)]
    rows = [found.row for found in predictor.answer(paths).slices]
    assert [row.seen for row in rows] == ["pixels", "no", "no", "no"]
    assert [row.outside for row in rows[:1] + rows[2:]] == ["no", "colour", "features"]


def test_files_are_counted_once_and_limited_and_patients_not_mixed_in_silence(predictor, new):
    path = new("sub-01_z1.png", 50)
    answer = predictor.answer([path, path])
    assert len(answer.slices) == 1
    assert answer.notes == ["1 files were uploaded twice and count once"]
    mixed = predictor.answer([path, new("sub-02_z1.png", 51), new("other.png", 52)])
    assert mixed.notes == ["the file names name 2 patients (sub-01, sub-02): the mean over the slices is of no single "
                           "patient"]
    with pytest.raises(UserError, match="no file"):
        predictor.answer([])
    with pytest.raises(UserError, match=f"{MAX_FILES + 1} files at once: at most {MAX_FILES}"):
        predictor.answer([f"{k}.png" for k in range(MAX_FILES + 1)])


def test_batches_keep_their_patients_and_errors(predictor, new, tmp_path):
    """Three batches of two files, of which one cannot be read."""
    (tmp_path / "bad.png").write_bytes(b"no image")
    paths = [new("sub-1.png", 1), str(tmp_path / "bad.png"), new("sub-3.png", 3), new("sub-4.png", 4), new("x.png", 5)]
    seen = []

    def mark(paths, subjects, batch):
        seen.extend(zip([Path(path).name for path in paths], subjects, strict=True))
        return ["no"] * len(paths), []

    def read(paths):
        for start in range(0, len(paths), 2):
            yield from predictor.read(paths[start:start + 2])

    answer = replace(predictor, read=read, mark=mark).answer(paths)
    assert seen == [("sub-1.png", "sub-1"), ("sub-3.png", "sub-3"), ("sub-4.png", "sub-4"), ("x.png", None)]
    whole = predictor.answer(paths)
    assert [found.error for found in answer.slices] == [found.error for found in whole.slices]
    np.testing.assert_allclose(answer.patient, whole.patient, atol=1e-5)


def test_the_most_similar_training_slice_of_a_training_slice_is_itself(predictor):
    reference = predictor.reference
    [found] = predictor.answer([reference.paths[7]]).slices
    assert len(found.similar) == SIMILAR
    assert (found.similar[0].path, found.similar[0].label) == (reference.paths[7], reference.labels[7])
    distances = [similar.distance for similar in found.similar]
    assert distances == sorted(distances)
    assert distances[0] < 1e-2 < distances[1]


def test_distances_are_mahalanobis_distances(predictor):
    reference = predictor.reference
    new = reference.val.numpy().astype(float)
    by_hand = [[np.sqrt((f - g) @ reference.novelty.precision @ (f - g)) for g in reference.train.numpy().astype(float)]
               for f in new]
    np.testing.assert_allclose(reference.distances(new), by_hand, rtol=1e-6, atol=1e-4)
    assert reference.typical_distance == pytest.approx(np.median(np.min(by_hand, axis=1)))
    assert reference.nearest(new, 3) == np.argsort(by_hand, axis=1)[:, :3].tolist()


def test_a_reference_is_read_back_and_a_damaged_one_is_named(predictor, tmp_path):
    content = {name: getattr(predictor.reference, name) for name in Reference.__dataclass_fields__}
    save_checkpoint(tmp_path / NAME, content)
    assert load_reference(tmp_path, CHECKPOINT).temperature == predictor.temperature
    p = content["val_probabilities"]
    for bad in ({"val_probabilities": p[:-1]}, {"val_probabilities": p[:, :2]}, {"val_probabilities": -p},
                {"val_probabilities": 2 * p}, {"val_probabilities": p.double()}, {"val_labels": [0] * 11},
                {"val_labels": [3] * 12}, {"val_labels": [-1] * 12}, {"val_labels": [True] * 12}):
        save_checkpoint(tmp_path / NAME, content | bad)
        with pytest.raises(UserError, match=rf"{NAME} is damaged \({next(iter(bad))}"):
            load_reference(tmp_path, CHECKPOINT)
