"""The description that travels with every exported file, as JSON."""

import json
from collections.abc import Sequence

from functions.exporting.preparation import Preparation

USE = "research only, not a diagnosis"


def describe(checkpoint: dict, preparation: Preparation, commit: str | None) -> dict:
    """Input, preprocessing, output, classes, caveats and origin of a checkpoint's network, as plain types.

    "preprocessing" is the checkpoint's own, from which `data_setup.loading.transforms.image_reader` reads images;
    "steps" says the same in words. Nothing of the patients is in it.
    """
    height, width = preparation.size
    names: Sequence[str] = checkpoint["class_names"]
    return {
        "use": USE,
        "caveats": list(checkpoint["stamps"]),
        "input": {"name": "images", "shape": ["batch", preparation.channels, height, width], "type": "float32"},
        "steps": preparation.steps(),
        "preprocessing": checkpoint["preprocessing"],
        "output": {"name": "logits", "shape": ["batch", len(names)], "type": "float32",
                   "probabilities": "softmax of the logits over the classes; not calibrated"},
        "class_names": list(names),
        "network": checkpoint["config"],
        "trained": {"epoch": checkpoint["epoch"], "precision": checkpoint["precision"],
                    "run_id": checkpoint["run_id"]},
        "exported_at_commit": commit,
    }


def to_json(description: dict) -> str:
    """The description as text; NaN and infinity are refused."""
    return json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
