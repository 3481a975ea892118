"""A pretrained backbone with a new head: which parameters are frozen, and learning-rate factors per layer."""

from dataclasses import dataclass, replace

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vision_transformer import VisionTransformer

from functions.runtime.errors import UserError
from models.config import VARIANTS, ViTConfig
from models.factory import make_model
from models.pretrained.key_maps import convert
from models.pretrained.load import set_eps_and_gelu
from models.stochastic_depth import StochasticDepth, depth_rates
from models.vit import ViT

RESNETS = ("resnet18", "resnet50")
MODELS = (*VARIANTS, *RESNETS)
CHUNK = 32     # images per forward pass of a frozen backbone


@dataclass(frozen=True)
class TransferConfig:
    """Settings of a pretrained network with a new head; UserError for an unknown model, size or backbone.

    `backbone` "torchvision" is the library's own module, "ours" the hand-written ViT. `norm_eps` and `gelu` are those
    of the source of the weights (models/pretrained/families/forms.py). `drop_path`, `pool` and `pre_norm` are those of
    ViTConfig; only the hand-written ViT has another `pool` than "cls", `pre_norm` and the quick GELU.
    """

    model: str = "vit_b_16"
    backbone: str = "torchvision"
    image_size: tuple[int, int] = (224, 224)
    in_channels: int = 3
    num_classes: int = 1000
    norm_eps: float = 1e-6
    gelu: str = "none"
    drop_path: float = 0.0
    pool: str = "cls"
    pre_norm: bool = False

    def __post_init__(self):
        if self.model not in MODELS:
            raise UserError(f'unknown pretrained model "{str(self.model)[:60]}"; known: {", ".join(MODELS)}')
        if self.backbone not in ("torchvision", "ours"):
            raise UserError(f'backbone is "{str(self.backbone)[:60]}": it must be "torchvision" or "ours"')
        shape = self.vit() if self.is_vit else ViTConfig(self.image_size, 1, self.in_channels, self.num_classes,
                                                         norm_eps=self.norm_eps, gelu=self.gelu,
                                                         drop_path=self.drop_path, pool=self.pool,
                                                         pre_norm=self.pre_norm)     # their checks
        object.__setattr__(self, "image_size", shape.image_size)
        if not self.is_vit and self.backbone != "torchvision":
            raise UserError(f"backbone {self.backbone} is a Vision Transformer, {self.model} is not")
        if not self.is_vit and (self.pool, self.pre_norm) != ("cls", False):
            raise UserError(f"--pool {self.pool} has no effect on {self.model}: it is for the tokens of a Vision "
                            "Transformer")
        if not self.is_vit and self.drop_path:
            raise UserError(f"drop_path {self.drop_path:g} has no effect on {self.model}: stochastic depth is for the "
                            "blocks of a Vision Transformer")
        others = {f"pool {self.pool}": self.pool != "cls", "pre_norm": self.pre_norm,
                  "the quick GELU": self.gelu == "quick"}
        if self.backbone != "ours" and any(others.values()):
            raise UserError(f"{' and '.join(name for name, has in others.items() if has)} needs the hand-written ViT, "
                            f"--backbone ours: torchvision's {self.model} reads the class token, without pre_norm "
                            "and with the exact GELU or its tanh form")

    @property
    def is_vit(self) -> bool:
        return self.model not in RESNETS

    def vit(self) -> ViTConfig:
        """The hand-written ViT of the same shape."""
        return replace(VARIANTS[self.model], image_size=self.image_size, in_channels=self.in_channels,
                       num_classes=self.num_classes, norm_eps=self.norm_eps, gelu=self.gelu, drop_path=self.drop_path,
                       pool=self.pool, pre_norm=self.pre_norm)


class AnySizeViT(VisionTransformer):
    """torchvision's VisionTransformer for images of any size divisible by the patch size, square or not, gray or RGB.
    """

    def __init__(self, config: ViTConfig):
        patch, width = config.patch_size, config.embedding_dim
        super().__init__(patch, patch, config.num_layers, config.num_heads, width, config.mlp_size)
        self.expected = (config.in_channels, *config.image_size)
        if config.in_channels != 3:
            self.conv_proj = nn.Conv2d(config.in_channels, width, kernel_size=patch, stride=patch)
        self.encoder.pos_embedding = nn.Parameter(torch.empty(1, config.num_patches + 1, width).normal_(std=0.02))
        self.heads = nn.Identity()
        set_eps_and_gelu(self, config.norm_eps, config.gelu)
        if config.drop_path:
            for block, rate in zip(self.encoder.layers, depth_rates(config.drop_path, config.num_layers), strict=True):
                block.dropout = block.mlp[-1] = StochasticDepth(rate)     # both branches end with a dropout of rate 0

    def _process_input(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.expected:
            raise UserError(f"images are {tuple(x.shape[1:])}, the model takes {self.expected}")
        return self.conv_proj(x).flatten(2).transpose(1, 2)              # (B, N, D)


class TransferModel(nn.Module):
    """logits = W backbone(images) + b: images (B, C, H, W) → features (B, D) → logits (B, K).

    The head is initialised to zero, as in the paper's fine-tuning (§3.2). The backbone is frozen until `unfreeze` is
    called; frozen parameters get no gradient and stay in eval mode. The cost is proportional to the batch size, and
    gradients reach the input.

    With `in_chunks`, a completely frozen backbone processes its images in chunks of CHUNK without gradients, the last
    one padded: matrix products of one shape are summed in one order, so the features of an image are bitwise equal in
    any batch, and computing them once or in every epoch gives the same training run.
    """

    chunk = CHUNK

    def __init__(self, config: TransferConfig):
        super().__init__()
        self.config = config
        self.backbone, width = _make_backbone(config)
        self.head = nn.Linear(width, config.num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.trainable: list[nn.Module] = []          # trained parts of the backbone
        self.unfreeze("head")

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images) if self.in_chunks else self.backbone(images))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features of images (B, C, H, W) from the frozen backbone, in chunks: (B, D)."""
        filled = F.pad(images, (0, 0, 0, 0, 0, 0, 0, -len(images) % CHUNK))
        return torch.cat([self.backbone(chunk) for chunk in filled.split(CHUNK)])[:len(images)]

    def unfreeze(self, part: str, in_chunks: bool = False) -> None:
        """Trains the head only ("head"), also the last K blocks and the final norm ("last:K"), or "all".

        `in_chunks` is for a completely frozen backbone (see above). A ResNet's blocks are its four stages. UserError if
        there are fewer than K.
        """
        self.in_chunks = in_chunks and part == "head"
        if part == "all":
            self.trainable = [self.backbone]
        elif part == "head":
            self.trainable = []
        else:
            blocks, norm = blocks_of(self.backbone)
            count = int(part.removeprefix("last:"))
            if count > len(blocks):
                raise UserError(f"--train last:{count}, but {self.config.model} has {len(blocks)} blocks")
            self.trainable = [*blocks[-count:], *norm]
        self.backbone.requires_grad_(False)
        for trained in self.trainable:
            trained.requires_grad_(True)
        self.train(self.training)

    def as_vit(self) -> ViT:
        """The hand-written ViT with the same weights and logits; UserError for a ResNet."""
        if not self.config.is_vit:
            raise UserError(f"{self.config.model} is no Vision Transformer")
        vit = make_model(self.config.vit())
        vit.load_state_dict(convert(self.state_dict()).weights)
        return vit.eval()

    def train(self, mode: bool = True) -> "TransferModel":
        super().train(mode)
        self.backbone.eval()
        for trained in self.trainable:
            trained.train(mode)
        return self


def _make_backbone(config: TransferConfig) -> tuple[nn.Module, int]:
    """(module: images → features, their dimension)."""
    if not config.is_vit:
        net = getattr(torchvision.models, config.model)(weights=None)
        if config.in_channels != 3:
            net.conv1 = nn.Conv2d(config.in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        width, net.fc = net.fc.in_features, nn.Identity()
        return net, width
    vit = config.vit()
    if config.backbone == "torchvision":
        return AnySizeViT(vit), vit.embedding_dim
    net = make_model(vit)
    net.set_submodule("classifier", nn.Identity())
    return net, vit.embedding_dim


def blocks_of(backbone: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """(blocks from input to output, the final norm if there is one)."""
    if isinstance(backbone, ViT):
        return list(backbone.encoder), [backbone.norm]
    if isinstance(backbone, VisionTransformer):
        return list(backbone.encoder.layers), [backbone.encoder.ln]
    return [backbone.get_submodule(f"layer{stage}") for stage in (1, 2, 3, 4)], []


def layer_lr_factors(model: TransferModel, decay: float) -> dict[str, float]:
    """Parameter name → learning-rate factor: decay^(L - i) in block i = 0 … L - 1, decay^(L + 1) before, 1 after them.

    Source: Bao et al. 2022 (BEiT); layers are numbered as in facebookresearch/mae, util/lr_decay.py.
    """
    blocks, norm = blocks_of(model.backbone)
    factor = {id(p): decay ** (len(blocks) + 1) for p in model.backbone.parameters()}
    for i, block in enumerate(blocks):
        factor |= {id(p): decay ** (len(blocks) - i) for p in block.parameters()}
    after = [p for part in (*norm, model.head) for p in part.parameters()]
    factor |= {id(p): 1.0 for p in after}
    return {name: factor[id(p)] for name, p in model.named_parameters()}
