"""LayerScale, folded exactly into the dense layers that it follows."""

import re

from torch import Tensor

from functions.runtime.errors import UserError

# The names of λ in block (1) after branch (2), and the dense layers that the two branches end with.
NAMES = {"timm": (r"(blocks\.\d+)\.(?:ls|gamma_)([12])(?:\.gamma)?", ("attn.proj", "mlp.fc2")),
         "huggingface": (r"(layers\.\d+)\.layer_scale([12])\.lambda1", ("attention.o_proj", "mlp.fc2"))}


def fold_layer_scale(source: str, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """λ ⊙ (W x + b) = (diag(λ) W) x + λ ⊙ b: (tensors without λ, the number of dense layers it was folded into).

    λ (D,) scales the output of a block's attention or MLP before the residual is added; W (D, ·) and b (D,) are of the
    branch's last dense layer. Raises UserError, naming the tensor, for a λ without W and b or of another length.
    Source: Touvron et al. 2021 (CaiT), arXiv 2103.17239, Eq. 4; names of timm, facebookresearch/dinov2 and /deit,
    transformers' Dinov2Model.
    """
    if source not in NAMES:
        return tensors, 0
    folded, (pattern, layers) = dict(tensors), NAMES[source]
    scales = {name: found for name in tensors if (found := re.fullmatch(pattern, name))}
    for name, found in scales.items():
        scale, layer = folded.pop(name), f"{found[1]}.{layers[int(found[2]) - 1]}"
        for part in (f"{layer}.weight", f"{layer}.bias"):
            if part not in folded:
                raise UserError(f"{source} weights: {part} is missing, which {name} scales")
            if scale.ndim != 1 or folded[part].shape[:1] != scale.shape:
                raise UserError(f"{source} weights: {name} is {tuple(scale.shape)}, {part} {tuple(folded[part].shape)}")
            folded[part] = (folded[part].T * scale).T if folded[part].ndim > 1 else folded[part] * scale
    return folded, len(scales)
