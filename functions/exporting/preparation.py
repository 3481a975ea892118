"""How an image file becomes the network's input, for readers without this project: in words, in code, for the Hub."""

from dataclasses import dataclass

PIL_NUMBERS = {"bilinear": 2, "bicubic": 3}

READ = '''\
import numpy as np
from PIL import Image, ImageOps


def prepare(path):
    """An image file → the network's input: float32, ({channels}, {height}, {width})."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):          # deeper than 8 bits
        values = np.asarray(image, np.float64)
        low, high = values.min(), values.max()
        if "WhiteLevel" in image.info:                                     # a PNG file of tools/prepare_data.py
            low, high = 0, float(image.info["WhiteLevel"])
        values = np.clip((values - low) * 255 / ((high - low) or 1), 0, 255)
        image = Image.fromarray(np.rint(values).astype(np.uint8))
    image = image.convert("{colours}")
'''
RESIZE = {
    "fit": '''\
    scale = min({height} / image.height, {width} / image.width)
    height, width = max(1, min({height}, round(image.height * scale))), max(1, min({width}, round(image.width * scale)))
    canvas = Image.new("{colours}", ({width}, {height}))                               # black
    canvas.paste(image.resize((width, height), Image.Resampling.{filter}),
                 (({width} - width) // 2, ({height} - height) // 2))
''',
    "crop": '''\
    tall, wide = {height} / {share!r}, {width} / {share!r}                 # scaled until it covers these
    by_height, by_width = tall / image.height, wide / image.width
    if by_height > by_width or (by_height == by_width and image.height <= image.width):
        size = int(round(tall) * image.width / image.height), round(tall)
    else:
        size = round(wide), int(round(wide) * image.height / image.width)
    image = image.resize(size, Image.Resampling.{filter})
    left, top = round((image.width - {width}) / 2), round((image.height - {height}) / 2)
    canvas = image.crop((left, top, left + {width}, top + {height}))
''',
    "stretch": '''\
    canvas = image.resize(({width}, {height}), Image.Resampling.{filter})
''',
}
NORMALISE = '''\
    pixels = np.asarray(canvas, np.float32).reshape({height}, {width}, {channels}) / 255
    mean, std = np.array({mean}, np.float32), np.array({std}, np.float32)
    return ((pixels - mean) / std).transpose(2, 0, 1)
'''


@dataclass(frozen=True)
class Preparation:
    """The steps of a checkpoint's preprocessing: data_setup's Frame (`size`, `mode`, `share`, `interpolation`), then
    x / 255, minus `mean`, divided by `std`, per channel.
    """

    size: tuple[int, int]               # height, width
    mode: str                           # fit, crop or stretch
    share: float
    interpolation: str                  # bilinear or bicubic
    mean: tuple[float, ...]             # one number per channel
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        return len(self.mean)

    @property
    def can_resize(self) -> bool:
        """Whether transformers' image processor has an equivalent, near or exact, of the resizing."""
        return self.mode != "crop" or self.size[0] == self.size[1]

    def steps(self) -> list[str]:
        """One sentence a step."""
        height, width = self.size
        colours = "gray (ITU-R 601 luma)" if self.channels == 1 else "RGB"
        resized = {
            "fit": f"scaled by s = min({height} / H, {width} / W) to round(sH) x round(sW), proportions kept, and "
                   f"centred on black, {height} high and {width} wide",
            "crop": f"scaled, proportions kept, until it covers {height} / {self.share:g} x {width} / {self.share:g}, "
                    f"then the central {height} x {width}",
            "stretch": f"stretched to {height} high and {width} wide, proportions not kept",
        }[self.mode]
        return [f"read as 8-bit {colours}: EXIF orientation applied, transparency composited on black; values of more "
                "than 8 bits become round(255 (x - min) / (max - min)), with the image's own minimum and maximum, or "
                "with 0 and the text WhiteLevel of a PNG file",
                f"{resized}; Pillow's {self.interpolation} resampling, which is antialiased",
                f"x / 255, minus {list(self.mean)}, divided by {list(self.std)}, per channel",
                f"a batch of float32 (batch, {self.channels}, {height}, {width})"]

    def code(self) -> str:
        """A Python function `prepare(path)` of Pillow and NumPy.

        It is exact for files of 8 bits without transparency and for gray files of 16 bits, of up to 2^24 pixels and
        sides up to 50 times as long as each other; of colour with 16 bits Pillow drops the low bytes.
        """
        height, width = self.size
        values = {"height": height, "width": width, "channels": self.channels, "share": self.share,
                  "filter": self.interpolation.upper(), "colours": "L" if self.channels == 1 else "RGB",
                  "mean": list(self.mean), "std": list(self.std)}
        return "".join(part.format(**values) for part in (READ, RESIZE[self.mode], NORMALISE))

    def processor(self) -> dict:
        """preprocessor_config.json for transformers' ViTImageProcessor, as close as it can express (`deviations`).

        A crop to a rectangle has no equivalent: images are then not resized, and one of another size is an error.
        """
        height, width = self.size
        config = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "do_center_crop": False,
                  "resample": PIL_NUMBERS[self.interpolation], "do_rescale": True, "rescale_factor": 1 / 255,
                  "do_normalize": True, "image_mean": list(self.mean), "image_std": list(self.std),
                  "do_convert_rgb": self.channels == 3}
        exact = {"height": height, "width": width}
        if self.mode == "stretch":
            return config | {"size": exact}
        if self.mode == "fit":           # its centre crop pads with black
            return config | {"size": {"max_height": height, "max_width": width}, "do_center_crop": True,
                             "crop_size": exact}
        if self.can_resize:
            return config | {"size": {"shortest_edge": round(height / self.share)}, "do_center_crop": True,
                             "crop_size": exact}
        return config | {"do_resize": False, "size": exact}

    def deviations(self) -> list[str]:
        """What preprocessor_config.json cannot express of this preparation, one sentence each."""
        height, width = self.size
        found = ["files of more than 8 bits are not scaled by their own minimum and maximum, transparency is not "
                 "composited on black, and EXIF orientation is not applied"]
        if self.channels == 1:
            found.append('colour is not converted to gray: open files with Image.open(path).convert("L"); '
                         "pipeline() converts to RGB, which this network of one channel refuses")
        if self.mode == "fit":
            found.append("transformers rounds the scaled size down, this project to the nearest integer: it can be one "
                         "pixel smaller")
        if self.mode == "crop" and self.can_resize:
            found.append("where an odd number of pixels is cropped, the crop can begin one pixel earlier")
        if not self.can_resize:
            found.append(f"a crop to a rectangle: images are not resized, and must already be {height} x {width}")
        else:
            found.append("transformers' default backend resizes with torchvision, not Pillow: grey values can differ "
                         'by 1 or 2 of 255; AutoImageProcessor.from_pretrained(…, backend="pil") uses Pillow')
        return found
