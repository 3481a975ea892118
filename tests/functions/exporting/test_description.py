import json

import pytest

from functions.exporting.description import describe, to_json
from functions.exporting.preparation import Preparation

CHECKPOINT = {"class_names": ["AD", "ä"], "stamps": ["LEAKY SPLIT"], "preprocessing": {"image_size": [24, 18]},
              "config": {"kind": "ViTConfig", "num_layers": 2}, "epoch": 3, "precision": "bf16", "run_id": "abc",
              "seen": {"subjects": ["sub-17"], "digests": ["0f"], "folders": ["/home/me"]},
              "optimizer": {"state": {}}, "weights": {}}


def test_what_a_reader_needs_travels_and_nothing_of_the_patients():
    found = describe(CHECKPOINT, Preparation((24, 18), "fit", 1.0, "bilinear", (0.3,), (0.2,)), "0123abc")
    assert found["use"] == "research only, not a diagnosis"
    assert found["caveats"] == ["LEAKY SPLIT"]
    assert found["class_names"] == ["AD", "ä"]
    assert found["preprocessing"] == {"image_size": [24, 18]}
    assert found["input"]["shape"] == ["batch", 1, 24, 18]
    assert found["output"]["shape"] == ["batch", 2]
    assert "softmax" in found["output"]["probabilities"]
    assert found["exported_at_commit"] == "0123abc"
    text = to_json(found)
    assert json.loads(text) == found
    assert not [word for word in ("sub-17", "0f", "/home/me", "optimizer") if word in text]


def test_numbers_that_json_has_no_name_for_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"mean": float("nan")})
