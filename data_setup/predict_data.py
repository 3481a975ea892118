"""The slices a checkpoint is to be scored on, prepared as it wants them; and whether it has met their patients."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from data_setup.audit import list_data
from data_setup.dataset import decode
from data_setup.framing import from_description
from data_setup.images import read_image
from data_setup.leak_worth import leak_worth
from data_setup.subjects import find_subjects
from data_setup.transforms import make_transforms


@dataclass
class RowsToScore:
    """Tables of (path, class, label, subject, who): `test`, and `val` and `train` where a run's own split has them.

    `seen` counts test slices whose patient or pixels the checkpoint was trained on.
    """

    parts: dict[str, pd.DataFrame]
    preprocessing: dict
    seen: int
    largest: int

    @property
    def test(self) -> pd.DataFrame:
        return self.parts["test"]

    def predict(self, model: nn.Module, table: pd.DataFrame, device: torch.device,
                preprocessing: dict | None = None) -> np.ndarray:
        """Class probabilities (n, K) of a table's slices."""
        images, _ = _decoded(table["path"].tolist(), preprocessing or self.preprocessing)
        own = preprocessing or self.preprocessing
        _, transform = make_transforms(own["mean"], own["std"], augment=False)
        transform, rows = transform.to(device), []
        with torch.inference_mode():
            for start in range(0, len(images), 32):
                pixels = images[start:start + 32].to(device)
                rows.append(model(transform(pixels)).float().softmax(dim=1).cpu())
        return torch.cat(rows).double().numpy()

    def nearest_neighbour(self) -> dict | None:
        """What the nearest training picture's class scores on the test slices: as split, and among strangers."""
        if "train" not in self.parts:
            return None
        both = pd.concat([self.parts["train"], self.test], ignore_index=True)
        pictures = [self.thumbnail(path) for path in both["path"]]
        test = np.arange(len(both)) >= len(self.parts["train"])
        worth = leak_worth(pictures, both["label"].to_numpy(), pd.factorize(both["who"])[0], test)
        return worth._asdict() if worth else None

    @staticmethod
    def thumbnail(path: str) -> np.ndarray:
        """The gray picture of a file (H, W)."""
        return read_image(path, 1)[:, :, 0]


def rows_to_score(run: Path | None, data: Path | None, checkpoint: dict, subjects: Path | None,
                  pattern: str | None) -> RowsToScore:
    """The run's own split, or the slices of `data` (its test/ if it has one). ValueError for classes it has not."""
    if data is None and run is None:
        raise ValueError("a checkpoint without its run folder needs --data: the slices to score")
    if data is None:
        if not (run / "split.csv").is_file():
            raise ValueError(f"{run} holds no split.csv: name slices with --data")
        table = pd.read_csv(run / "split.csv", dtype=str, keep_default_na=False)
        table["subject"] = table["subject"].astype(object).where(table["subject"] != "", None)
        start = json.loads((run / "run.json").read_text(encoding="utf-8"))["settings"].get("cwd", ".")
        table["path"] = [path if Path(path).exists() else str(Path(start, path)) for path in table["path"]]
    else:
        table, _ = list_data(data)
        table = table[table["split"] == "test"] if (table["split"] == "test").any() else table.assign(split="test")
        table = table.reset_index(drop=True)
        table["subject"] = find_subjects(table["path"].tolist(), subjects, pattern)
    names = checkpoint["class_names"]
    if strange := sorted(set(table["class"]) - set(names)):
        raise ValueError(f'class "{strange[0]}" is none of the model\'s: {", ".join(names)}')
    table["label"] = [names.index(name) for name in table["class"]]
    table["who"] = table["subject"].where(table["subject"].notna(), table["path"])
    parts = {split: part.reset_index(drop=True) for split, part in table.groupby("split")}
    if "test" not in parts:
        raise ValueError("there are no test slices to score")
    known = checkpoint.get("seen", {"subjects": [], "digests": []})
    _, digests = _decoded(parts["test"]["path"].tolist(), checkpoint["preprocessing"])
    seen = parts["test"]["subject"].isin(set(known["subjects"])) | pd.Series(digests).isin(set(known["digests"]))
    guess = parts.get("train", parts["test"])["label"]
    return RowsToScore(parts, checkpoint["preprocessing"], int(seen.sum()), int(np.bincount(guess).argmax()))


def _decoded(paths: list[str], preprocessing: dict) -> tuple[Tensor, list[str]]:
    decoded = decode(paths, from_description(preprocessing), preprocessing["channels"], keep=True)
    if decoded.errors:
        first = next(iter(decoded.errors.values()))
        raise ValueError(f"{len(decoded.errors)} of {len(paths)} slices cannot be read; the first: {first}")
    return decoded.images, decoded.digests
