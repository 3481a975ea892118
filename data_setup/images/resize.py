"""How a picture of any size becomes one of the model's size: fitted whole on black, cropped, or stretched."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from functions.runtime.errors import UserError

WORDS = {      # what a checkpoint says, and what it is read back from
    "fit": "scaled to fit, proportions kept, centred on black",
    "crop": "scaled to cover, proportions kept, the middle cropped",
    "stretch": "stretched to the size, proportions not kept",
}
LONGEST = 50         # ratio of the sides, above which a crop is taken from the middle of the longer side
LEAST_SHARE = 0.1    # of the side that a crop keeps: below it the whole picture would be resized to gigabytes
INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Frame:
    """From uint8 (H, W, C) to (height, width, C): `mode` is fit, crop or stretch, the resizing Pillow's, antialiased.

    fit: s = min(height / H, width / W), the rest black. crop: scaled until it covers height / share x width / share,
    then the middle height x width; with a square this is torchvision's Resize and CenterCrop, as its weights were
    trained. stretch: each side by itself. Squeezing distorts what is to be measured, the width of a ventricle against
    the length of the brain, so only weights that were trained so ask for it.
    """

    size: tuple[int, int]                # height, width
    mode: str = "fit"
    share: float = 1.0                   # of the scaled picture's side that a crop keeps
    interpolation: str = "bilinear"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """One picture at the model's size; one that has it already is returned as it is, unless its middle is cut."""
        H, W, _ = image.shape
        height, width = self.size
        if self.mode == "crop":
            if max(H / W, W / H) > LONGEST:           # scaled to cover, a strip of pixels would take gigabytes
                most = round(LONGEST * min(H, W))
                image = _middle(image, (min(H, most), min(W, most)))
                H, W, _ = image.shape
            return _middle(_resize(image, _cover(H, W, height / self.share, width / self.share), self.interpolation),
                           self.size)
        if self.mode == "stretch":
            return _resize(image, self.size, self.interpolation)
        scale = min(height / H, width / W)
        h, w = max(1, min(height, round(H * scale))), max(1, min(width, round(W * scale)))
        return _middle(_resize(image, (h, w), self.interpolation), self.size)

    def kept(self, shape: tuple[int, int]) -> tuple[float, float]:
        """The shares of an image's height and width (H, W) that the model sees: below 1 where a crop cuts."""
        if self.mode != "crop":
            return 1.0, 1.0
        covered = _cover(*shape, self.size[0] / self.share, self.size[1] / self.share)
        return self.size[0] / covered[0], self.size[1] / covered[1]

    def describe(self) -> dict:
        """In plain types and words, for a checkpoint; `from_description` makes it again."""
        return {"image_size": list(self.size), "fit": WORDS[self.mode], "crop_share": self.share,
                "interpolation": f"{self.interpolation}, antialiased"}


def from_description(description: dict, file: Path | None = None) -> Frame:
    """The frame that a checkpoint's preprocessing describes; UserError, naming `file` and the key, if it is none."""
    where = f"{file}: preprocessing" if file else "preprocessing"
    mode = next((mode for mode, words in WORDS.items() if words == description.get("fit")), None)
    interpolation = str(description.get("interpolation")).split(",")[0]
    share, size = description.get("crop_share", 1.0), description.get("image_size")
    if mode is None:
        fit = str(description.get("fit"))[:60]
        raise UserError(f"{where}: fit is {fit!r}, none of: {'; '.join(WORDS.values())}")
    if interpolation not in INTERPOLATION:
        raise UserError(f"{where}: interpolation is {interpolation[:60]!r}, none of {', '.join(INTERPOLATION)}")
    if type(share) not in (int, float) or not LEAST_SHARE <= share <= 1:
        raise UserError(f"{where}: crop_share is {str(share)[:60]}, not a share from {LEAST_SHARE} to 1")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or any(type(n) is not int or n < 1 for n in size):
        raise UserError(f"{where}: image_size is {str(size)[:60]}, not two whole numbers")
    return Frame(tuple(size), mode, share, interpolation)


def _cover(H: int, W: int, height: float, width: float) -> tuple[int, int]:
    """The size of (H, W) scaled until it covers height x width; torchvision's rounding: the longer side down."""
    if height / H > width / W or (height / H == width / W and H <= W):
        return round(height), int(round(height) * W / H)
    return int(round(width) * H / W), round(width)


def _resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    return np.array(picture.resize(size[::-1], INTERPOLATION[interpolation])).reshape(*size, image.shape[2])


def _middle(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image's middle at `size`; black where it is smaller. Halves are rounded as torchvision's CenterCrop does."""
    (h, w, channels), (height, width) = image.shape, size
    if (h, w) == size:
        return image
    top, left = round((h - height) / 2), round((w - width) / 2)
    if h >= height and w >= width:
        return image[top:top + height, left:left + width]
    canvas = np.zeros((height, width, channels), np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    canvas[top:top + h, left:left + w] = image
    return canvas
