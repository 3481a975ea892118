"""What tensors do not say of their network: LayerNorm's epsilon, the GELU, the pooling, image size and heads."""

from collections.abc import Sequence
from dataclasses import dataclass

from functions.runtime.errors import UserError
from models.config import GELUS, POOLS, VARIANTS

# By the library of the names: LayerNorm's epsilon, the GELU's form.
FORMS = {"torchvision": (1e-6, "none"), "timm": (1e-6, "none"), "huggingface": (1e-12, "none"), "jax": (1e-6, "tanh"),
         "replicated": (1e-5, "none"), "ours": (1e-6, "none")}
# By the family, where it differs from the library's; CLIP's names are those of OpenAI's weights, whose GELU is quick.
OF_FAMILY = {"DINOv2": (1e-6, "none"), "CLIP": (1e-5, "quick")}
TIMMS_CLIP = (1e-5, "none")


@dataclass(frozen=True)
class Form:
    """What a configuration says, or else the source's usual values; UserError, naming the value, if it is none."""

    norm_eps: float
    gelu: str                            # as in ViTConfig
    pool: str                            # as in ViTConfig
    image_size: Sequence[int] | None     # of the positions: rows, columns, in pixels
    num_heads: int | None

    def __post_init__(self):
        where = "the file's configuration"
        if type(self.norm_eps) not in (float, int) or not 0 < self.norm_eps < 1:
            raise UserError(f"{where}: norm_eps is {str(self.norm_eps)[:40]}, not a number between 0 and 1")
        for name, known in (("gelu", GELUS), ("pool", POOLS)):
            if (value := getattr(self, name)) not in known:
                raise UserError(f"{where}: {name} is {str(value)[:40]}, none of {', '.join(known)}")
        size = self.image_size
        if size is not None and (not isinstance(size, (list, tuple)) or len(size) != 2
                                 or any(type(side) is not int or side < 1 for side in size)):
            raise UserError(f"{where}: image_size is {str(size)[:40]}, not two integers")
        if self.num_heads is not None and (type(self.num_heads) is not int or self.num_heads < 1):
            raise UserError(f"{where}: num_heads is {str(self.num_heads)[:40]}, not an integer above 0")


def find_form(layout: str, family: str, pool: str, config: dict) -> Form:
    """The form of weights with the names of a library; `config` holds a configuration's own values.

    `layout` is the library (`recognise` in key_maps.py), `family` and `pool` are what the tensors say. The
    heads of one of our own transfer runs go with its model's name.
    """
    timms = (family, layout) == ("CLIP", "timm")
    norm_eps, gelu = TIMMS_CLIP if timms else OF_FAMILY[family] if family in OF_FAMILY else FORMS[layout]
    heads, size = config.get("num_heads"), config.get("image_size")
    if config.get("kind") == "TransferConfig" and str(config.get("model")) in VARIANTS:
        heads = VARIANTS[config["model"]].num_heads
    stated = config.get("pool", pool)
    if (stated, pool) == ("mean", "mean_then_norm"):         # timm's avg does not say the order; its fc_norm does
        stated = pool
    return Form(config.get("norm_eps", norm_eps), config.get("gelu", gelu), stated,
                [size, size] if type(size) is int else size, heads)
