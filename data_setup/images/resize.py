"""Resizes images of any size to the model's size: fitted on black, cropped, or stretched."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from functions.runtime.errors import UserError

DESCRIPTIONS = {      # written to checkpoints and read back
    "fit": "scaled to fit, proportions kept, centred on black",
    "crop": "scaled to cover, proportions kept, the middle cropped",
    "stretch": "stretched to the size, proportions not kept",
}
LONGEST = 50         # ratio of the sides, above which a crop is taken from the middle of the longer side
MIN_SHARE = 0.1    # of the side that a crop keeps; limits the memory of the resized image
INTERPOLATION = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Frame:
    """From uint8 (H, W, C) to (height, width, C): `mode` is fit, crop or stretch; resizing by Pillow, antialiased.

    fit: s = min(height / H, width / W), the rest is black. crop: scaled until it covers height / share x width / share,
    then the central height x width; for a square this is torchvision's Resize and CenterCrop, as used to train its
    weights. stretch: each side independently. Stretching distorts what is measured, the width of a ventricle relative
    to the length of the brain, so it is used only for weights that were trained with it.
    """

    size: tuple[int, int]                # height, width
    mode: str = "fit"
    share: float = 1.0                   # share of the scaled image's side that a crop keeps
    interpolation: str = "bilinear"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """One image at the model's size; an image of this size is returned unchanged, unless a crop reduces it."""
        H, W, _ = image.shape
        height, width = self.size
        if self.mode == "crop":
            if max(H / W, W / H) > LONGEST:           # limits memory
                most = round(LONGEST * min(H, W))
                image = _centre_crop(image, (min(H, most), min(W, most)))
                H, W, _ = image.shape
            covering = _cover(H, W, height / self.share, width / self.share)
            return _centre_crop(_resize(image, covering, self.interpolation), self.size)
        if self.mode == "stretch":
            return _resize(image, self.size, self.interpolation)
        scale = min(height / H, width / W)
        h, w = max(1, min(height, round(H * scale))), max(1, min(width, round(W * scale)))
        return _centre_crop(_resize(image, (h, w), self.interpolation), self.size)

    def kept(self, shape: tuple[int, int]) -> tuple[float, float]:
        """The shares of an image's height and width (H, W) that the model gets: below 1 for a crop."""
        if self.mode != "crop":
            return 1.0, 1.0
        covered = _cover(*shape, self.size[0] / self.share, self.size[1] / self.share)
        return self.size[0] / covered[0], self.size[1] / covered[1]

    def describe(self) -> dict:
        """A description in plain types, for a checkpoint; `from_description` is its inverse."""
        return {"image_size": list(self.size), "fit": DESCRIPTIONS[self.mode], "crop_share": self.share,
                "interpolation": f"{self.interpolation}, antialiased"}


def from_description(description: dict, file: Path | None = None) -> Frame:
    """The frame of a checkpoint's preprocessing; UserError, with `file` and the key, if it is invalid."""
    where = f"{file}: preprocessing" if file else "preprocessing"
    mode = next((mode for mode, words in DESCRIPTIONS.items() if words == description.get("fit")), None)
    interpolation = str(description.get("interpolation")).split(",")[0]
    share, size = description.get("crop_share", 1.0), description.get("image_size")
    if mode is None:
        fit = str(description.get("fit"))[:60]
        raise UserError(f"{where}: fit is {fit!r}, none of: {'; '.join(DESCRIPTIONS.values())}")
    if interpolation not in INTERPOLATION:
        raise UserError(f"{where}: interpolation is {interpolation[:60]!r}, none of {', '.join(INTERPOLATION)}")
    if type(share) not in (int, float) or not MIN_SHARE <= share <= 1:
        raise UserError(f"{where}: crop_share is {str(share)[:60]}, not a share from {MIN_SHARE} to 1")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or any(type(n) is not int or n < 1 for n in size):
        raise UserError(f"{where}: image_size is {str(size)[:60]}, not two integers")
    return Frame(tuple(size), mode, share, interpolation)


def _cover(H: int, W: int, height: float, width: float) -> tuple[int, int]:
    """The size of (H, W) scaled until it covers height x width; torchvision's rounding: the longer side down."""
    if height / H > width / W or (height / H == width / W and H <= W):
        return round(height), int(round(height) * W / H)
    return int(round(width) * H / W), round(width)


def _resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    resized = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    return np.array(resized.resize(size[::-1], INTERPOLATION[interpolation])).reshape(*size, image.shape[2])


def _centre_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image's centre at `size`; padded with black if it is smaller. Halves are rounded as in torchvision's
    CenterCrop.
    """
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
