"""Settings of the Vision Transformer and of the hybrids, their checks, and the published sizes (Table 1)."""

from dataclasses import dataclass
from typing import ClassVar

from functions.runtime.errors import UserError

# Upper bounds for validation, far above any published ViT (ViT-22B: 48 layers, D 6,144, MLP 24,576, 48 heads).
MAXIMA = {"image_size": 2**14, "patch_size": 2**14, "num_classes": 2**20, "num_layers": 1000, "embedding_dim": 2**16,
          "num_heads": 2**12, "mlp_size": 2**18}
MAX_PATCHES = 2**16        # an image of 4,096 x 4,096 pixels in patches of 16; attention's cost grows with the square
MAX_STAGES = 4             # of a ResNet: He et al. 2016
MAX_UNITS = 100            # per stage: ResNet-200 has 36
MAX_STEM_WIDTH = 2**10     # BiT's widest ResNet has 256
GELUS = ("none", "tanh", "quick")
POOLS = ("cls", "mean", "mean_then_norm")
GROUPS = 32                # of the stem's GroupNorm


@dataclass(frozen=True)
class ViTConfig:
    """Settings of one Vision Transformer; the defaults are ViT-B/16 on ImageNet (Table 1).

    `image_size` is (height, width) in pixels; one number means a square. `dropout` acts where Table 3 puts it: after
    every dense layer except the qkv projections, and after the positions are added. `norm_eps` is LayerNorm's epsilon:
    1e-6 in the authors' code, torchvision and timm, 1e-12 in Hugging Face. `gelu` is "none" (exact, erf), "tanh" (the
    authors' JAX default) or "quick" (CLIP's, x σ(1.702 x)). `pool` is what the classifier reads: "cls", the class token
    (Eq. 4), or the mean over patches, after the last LayerNorm ("mean") or before it ("mean_then_norm")
    (models/pooling.py). `pre_norm` is CLIP's LayerNorm of z_0, before the first block. `drop_path` is the rate of
    stochastic depth in the last block, which is not the paper's (models/stochastic_depth.py). Raises UserError, naming
    both numbers, for incompatible sizes.
    """

    image_size: tuple[int, int] = (224, 224)       # or one number
    patch_size: int = 16           # P
    in_channels: int = 3           # C
    num_classes: int = 1000        # K
    num_layers: int = 12           # L
    embedding_dim: int = 768       # D
    num_heads: int = 12            # k
    mlp_size: int = 3072
    dropout: float = 0.0
    norm_eps: float = 1e-6
    gelu: str = "none"
    drop_path: float = 0.0
    pool: str = "cls"
    pre_norm: bool = False

    token_size: ClassVar[str] = "patch size {}"

    def __post_init__(self) -> None:
        given: object = self.image_size
        size = tuple(given) if isinstance(given, (tuple, list)) else (given, given)
        if len(size) != 2 or not all(type(side) is int for side in size):
            raise UserError(f"image_size {str(given)[:60]} is not one or two integers (height, width)")
        object.__setattr__(self, "image_size", size)
        for name, most in MAXIMA.items():
            for value in size if name == "image_size" else (getattr(self, name),):
                if type(value) is not int:
                    raise UserError(f"{name} is {str(value)[:60]!r}: it must be an integer")
                if value < 1 and name != "image_size":
                    raise UserError(f"{name} is {value}: it must be at least 1")
                if value > most:
                    raise UserError(f"{name} is {value}: it can be at most {most}")
        height, width = size
        if min(size) < 1 or height % self.patch_size or width % self.patch_size:
            raise UserError(f"image size {height}x{width} is not a multiple of the "
                            + self.token_size.format(self.patch_size))
        if self.num_patches > MAX_PATCHES:
            raise UserError(f"image size {height}x{width} has {self.num_patches:,} patches of "
                            f"{self.token_size.format(self.patch_size)}: it can have at most {MAX_PATCHES:,}")
        if type(self.in_channels) is not int or self.in_channels not in (1, 3):
            raise UserError(f"in_channels is {str(self.in_channels)[:60]}: images have 1 channel (gray) or 3 (RGB)")
        for name in ("dropout", "norm_eps", "drop_path"):
            if type(getattr(self, name)) not in (int, float):
                raise UserError(f"{name} is {str(getattr(self, name))[:60]!r}: it must be a number")
        if self.embedding_dim % self.num_heads:
            raise UserError(f"embedding_dim {self.embedding_dim} is not a multiple of num_heads {self.num_heads}")
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {str(getattr(self, name))[:60]}: it must be at least 0 and below 1")
        if not 0 < self.norm_eps <= 1:
            raise UserError(f"norm_eps is {str(self.norm_eps)[:60]}: it must be above 0 and at most 1")
        for name, known in (("gelu", GELUS), ("pool", POOLS), ("pre_norm", (False, True))):
            if type(value := getattr(self, name)) is not type(known[0]) or value not in known:
                raise UserError(f'{name} is "{str(value)[:60]}": it must be one of {", ".join(map(str, known))}')

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across: (H/P, W/P)."""
        height, width = self.image_size
        return height // self.patch_size, width // self.patch_size

    @property
    def num_patches(self) -> int:
        """N = HW/P² (§3.1)."""
        rows, columns = self.grid
        return rows * columns

    @property
    def tokens(self) -> str:
        """The grid of patches and their size, as text."""
        rows, columns = self.grid
        return f"{rows}x{columns} patches of {self.patch_size}x{self.patch_size} pixels"


@dataclass(frozen=True)
class HybridConfig(ViTConfig):
    """Settings of a hybrid: the ViT's patches are taken from the feature map of a ResNet, the stem (§3.1).

    `units` are the residual units in each of the stem's S stages, `stem_width` the channels of its root, `stem_patch`
    the patch size on its map. `patch_size` is the number of pixels per token, stem_patch · 2^max(S + 1, 2). Raises
    UserError if it is not, and for a stem that cannot be built.
    """

    units: tuple[int, ...] = (3, 4, 9)       # (): the root only
    stem_patch: int = 1
    stem_width: int = 64

    token_size: ClassVar[str] = "{} pixels per token of this hybrid"

    def __post_init__(self) -> None:
        units: object = self.units
        if not isinstance(units, (tuple, list)) or len(units) > MAX_STAGES or not all(
                type(count) is int and 1 <= count <= MAX_UNITS for count in units):
            raise UserError(f"units is {str(units)[:60]}: it must be at most {MAX_STAGES} integers between 1 and "
                            f"{MAX_UNITS}, the residual units in each stage of the stem")
        object.__setattr__(self, "units", tuple(units))
        for name, step, most in (("stem_patch", 1, MAXIMA["patch_size"]), ("stem_width", GROUPS, MAX_STEM_WIDTH)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most or value % step:
                raise UserError(f"{name} is {str(value)[:60]}: it must be a multiple of {step} and at most {most}")
        pixels = self.stem_patch * 2 ** max(len(units) + 1, 2)       # 4 of the root, 2 of each stage after the first
        if self.patch_size != pixels:
            raise UserError(f"patch_size is {str(self.patch_size)[:60]}: a token of this hybrid is "
                            f"{pixels}x{pixels} pixels")
        super().__post_init__()

    @property
    def tokens(self) -> str:
        """The grid of tokens, their size, and the stem that they are taken from, as text."""
        (rows, columns), units = self.grid, "+".join(map(str, self.units)) or "no"
        return (f"{rows}x{columns} tokens of {self.patch_size}x{self.patch_size} pixels, from the map of a ResNet stem "
                f"with {units} residual units")


def _size(num_layers: int, embedding_dim: int, mlp_size: int, num_heads: int, patch_size: int) -> ViTConfig:
    return ViTConfig(num_layers=num_layers, embedding_dim=embedding_dim, mlp_size=mlp_size, num_heads=num_heads,
                     patch_size=patch_size)


# B, L, H: Table 1. Ti, S: the authors' later sizes (google-research/vision_transformer, vit_jax/configs/models.py).
# Patches of 14: DINOv2 and CLIP; S/8: DINO.
VARIANTS = {         # layers  D    MLP  heads  P
    "vit_ti_16": _size(12, 192, 768, 3, 16),
    "vit_s_8": _size(12, 384, 1536, 6, 8),
    "vit_s_14": _size(12, 384, 1536, 6, 14),
    "vit_s_16": _size(12, 384, 1536, 6, 16),
    "vit_s_32": _size(12, 384, 1536, 6, 32),
    "vit_b_8": _size(12, 768, 3072, 12, 8),
    "vit_b_14": _size(12, 768, 3072, 12, 14),
    "vit_b_16": _size(12, 768, 3072, 12, 16),
    "vit_b_32": _size(12, 768, 3072, 12, 32),
    "vit_l_14": _size(24, 1024, 4096, 16, 14),
    "vit_l_16": _size(24, 1024, 4096, 16, 16),
    "vit_l_32": _size(24, 1024, 4096, 16, 32),
    "vit_h_14": _size(32, 1280, 5120, 16, 14),
}


def _hybrid(vit: str, units: tuple[int, ...], stem_patch: int, patch_size: int) -> HybridConfig:
    sizes = vars(VARIANTS[vit]) | {"patch_size": patch_size}
    return HybridConfig(**sizes, units=units, stem_patch=stem_patch)


# vit_jax/configs/models.py; the fourth stage of R50 is moved into its third, to keep 16 pixels per token.
HYBRIDS = {              # ViT          units per stage  patch  pixels per token
    "r50_vit_b_16": _hybrid("vit_b_16", (3, 4, 9), 1, 16),
    "r26_vit_b_32": _hybrid("vit_b_32", (2, 2, 2, 2), 1, 32),
    "r_vit_ti_16": _hybrid("vit_ti_16", (), 8, 32),
}
