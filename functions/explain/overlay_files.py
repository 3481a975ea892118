"""Overlays of the relevance of each patch as PNG files, each with the prediction and the results of its tests."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from functions.explain.faithfulness import faithfulness
from functions.explain.maps import check_choice
from functions.explain.overlay import overlay_figure
from functions.runtime.atomic_files import write_atomically

METHOD = "relevance"       # on the phantom, its maps pass the tests far more often than those of the others


class OverlayFiles:
    """Writes one overlay per image into `folder`, numbered in the order of the images.

    Raises UserError at once for a network that has no such maps.
    """

    def __init__(self, folder: Path, model: nn.Module, class_names: Sequence[str]):
        check_choice(model, METHOD)
        self.folder, self.model, self.class_names = folder, model, class_names
        self.count = 0

    def write(self, paths: Sequence[str], images: Tensor, probabilities: Tensor) -> list[str]:
        """The files of preprocessed images (B, C, H, W) with class probabilities (B, K), whose most probable class each
        map explains: with averaged views it can be another than the network's for the image itself.
        """
        maps, tests = faithfulness(self.model, images, METHOD, target=probabilities.argmax(dim=1))
        files = []
        for path, image, shares, test, p in zip(paths, images, maps, tests, probabilities, strict=True):
            self.count += 1
            name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(path).stem)
            file = self.folder / f"{self.count:06d}_{name[:60]}.png"
            caption = f"{self.class_names[int(p.argmax())]} {p.max():.3f}, {METHOD}"
            caption += ", passes all tests" * test.passes
            figure = overlay_figure(image, shares, caption, test.caveat)
            write_atomically(file, partial(figure.savefig, format="png", metadata={"Software": None}))
            files.append(str(file))
        return files
