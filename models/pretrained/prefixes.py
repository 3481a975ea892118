"""Finds the Vision Transformer inside a larger file: its tensors, and their prefix.

Training code wraps a network in others: DataParallel ("module."), torch.compile ("_orig_mod."), Lightning ("model."), a
class with a backbone and a head ("backbone."), self-supervised methods with two encoders ("base_encoder.",
"momentum_encoder."). The network is found by a tensor that every ViT of its library has, and its prefix is removed.
"""

import re
from collections.abc import Iterable

from torch import Tensor

from functions.runtime.errors import UserError

# The end of a tensor name that identifies a library's ViT.
MARKS = {"torchvision": "conv_proj.weight", "timm": "patch_embed.proj.weight", "ours": "patch_embedding.class_token",
         "huggingface": "embeddings.cls_token", "replicated": "class_embedding", "jax": "embedding/kernel"}
# Preference among several networks in one file: the one that its authors evaluate, such as the averaged one.
PREFERRED = ("ema", "model_ema", "ema_model", "teacher", "base_encoder", "encoder_q", "online_encoder",
             "target_encoder", "model", "backbone", "encoder", "vit")
HEADS = {"torchvision": "heads.head.", "timm": "head.", "ours": "classifier.", "huggingface": "classifier.",
         "replicated": "classifier.1."}
HEAD_NAMES = {"head", "heads", "fc", "classifier", "mlp_head", "cls_head", "classification_head", "head_drop"}


def find_network(tensors: dict[str, Tensor]) -> tuple[str, dict[str, Tensor], list[str]]:
    """(the library of these tensor names, the network's tensors without prefix, notes on what was left out).

    UserError if no known ViT has these names, or if several do and the choice is ambiguous.
    """
    found = [(source, name.removesuffix(mark)) for source, mark in MARKS.items() for name in tensors
             if name == mark or name.endswith((f".{mark}", f"/{mark}"))]
    if not found:
        some = ", ".join(sorted(tensors)[:3])
        raise UserError(f"these tensors ({some}, …) are of no Vision Transformer known here: {', '.join(MARKS)}")
    if any(source == "jax" for source, _ in found):
        return "jax", tensors, []
    source, prefix = _chosen(found)
    common = _common_prefix(prefix, tensors)
    tensors = {name.removeprefix(common): tensor for name, tensor in tensors.items()}
    prefix = prefix.removeprefix(common)
    if not prefix or (source, prefix) == ("huggingface", "vit."):        # its own way to keep the head outside
        return source, tensors, []
    inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    outside = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    if prefix == "backbone." and {name.rpartition(".")[0] for name in outside} == {"head"} and source in HEADS:
        return source, inside | {name.replace("head.", HEADS[source], 1): t for name, t in outside.items()}, []
    return source, inside, [_outside(prefix, outside)] if outside else []


def without_prefix(tensors: dict[str, Tensor], mark: str) -> tuple[dict[str, Tensor], list[str]]:
    """(the network's tensors without the prefix that the tensor `mark` has, notes on what was left out)."""
    prefix = min((name.removesuffix(mark) for name in tensors if name == mark or name.endswith(f".{mark}")), key=len,
                 default="")
    inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    outside = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    return inside, [_outside(prefix, outside)] if outside else []


def _common_prefix(prefix: str, tensors: dict[str, Tensor]) -> str:
    """The longest beginning of `prefix`, in whole components, that all names share."""
    parts = prefix.split(".")[:-1]
    starts = ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts), 0, -1)]
    return next((start for start in starts if all(name.startswith(start) for name in tensors)), "")


def _chosen(found: list[tuple[str, str]]) -> tuple[str, str]:
    """The (source, prefix) to read, if the file holds several networks."""
    if len(found) == 1:
        return found[0]

    def rank(prefix: str) -> int:
        return min((PREFERRED.index(part) for part in prefix.split(".") if part in PREFERRED), default=len(PREFERRED))

    ranks = sorted(rank(prefix) for _, prefix in found)
    if ranks[0] == ranks[1]:
        prefixes = " and ".join(sorted(prefix or "no prefix" for _, prefix in found))
        raise UserError(f"the file holds several networks ({prefixes}): save one in a file of its own")
    return min(found, key=lambda pair: rank(pair[1]))


def _outside(prefix: str, outside: dict[str, Tensor]) -> str:
    modules = sorted({name.split(".")[0] for name in outside})
    some = ", ".join(modules[:4]) + (", …" if modules[4:] else "")
    count = f"{len(outside)} tensors" if len(outside) > 1 else "1 tensor"
    return f"{count} outside of {prefix.removesuffix('.')} {'are' if len(outside) > 1 else 'is'} left out: {some}"


def other_heads(tensors: dict[str, Tensor], width: int, inside: Iterable[str] = (),
                beside: bool = False) -> list[tuple[str, int, bool]] | None:
    """Head descriptions [(name, classes, whether it is linear on y)]; None if a tensor is not part of a head.

    A head is a matrix (K, D), with a bias (K,) or without, under any name but those of the network's own modules,
    `inside`; or several layers under a name that heads have. A square matrix may be a hidden layer: it is a head only
    alone, without one under the library's name `beside` it.
    """
    roots: dict[str, dict[str, dict[str, Tensor]]] = {}
    found: list[tuple[str, int, bool] | None] = []
    for name, tensor in sorted(tensors.items(), key=_natural_key):
        layers = roots.setdefault(re.split("[./]", name)[0], {})
        layers.setdefault(_layer(name), {})[name] = tensor
    for root, layers in sorted(roots.items()):
        if root in HEAD_NAMES and len(layers) > 1:
            found.append(_deep_head(root, layers))
        else:
            found += [None if root in inside and root not in HEAD_NAMES else _linear_head(name, layer, width)
                      for name, layer in layers.items()]
    heads = [head for head in found if head]
    square = any(direct and classes == width for _, classes, direct in heads)
    return None if len(heads) < len(found) or square and (beside or len(heads) > 1) else heads


def _layer(name: str) -> str:
    """The module that a tensor is of; a parameter outside of any is taken for a module of its own."""
    module = re.fullmatch(r"(.+)[./][^./]+", name)
    return module[1] if module else re.sub(r"_(weight|bias)$", "", name)


def _linear_head(name: str, layer: dict[str, Tensor], width: int) -> tuple[str, int, bool] | None:
    """Of a matrix with or without a bias. Flax and others keep it as (D, K), but never under the name "weight"."""
    matrices = [(its, t) for its, t in layer.items() if t.ndim == 2]
    if len(matrices) != 1 or re.search(r"(token|embed\w*|pos)$", matrices[0][0]):        # what is added to patches
        return None
    its, matrix = matrices[0]
    turned = matrix.shape[1] != width and not its.endswith("weight")
    inputs, classes = matrix.shape if turned else matrix.shape[::-1]
    fits = all(t is matrix or t.shape == (classes,) and not re.search(r"running|scale", other)
               for other, t in layer.items())
    return (name, classes, True) if inputs == width and len(layer) < 3 and fits else None


def _deep_head(root: str, layers: dict[str, dict[str, Tensor]]) -> tuple[str, int, bool] | None:
    tensors = {name: tensor for layer in layers.values() for name, tensor in layer.items()}
    matrices = [t for name, t in tensors.items() if name.endswith("weight") and t.ndim == 2]
    kinds = {name.rpartition(".")[2] for name in tensors}
    return (root, len(matrices[-1]), False) if matrices and kinds <= {"weight", "bias"} else None


def _natural_key(item: tuple[str, Tensor]) -> list:
    """Sorts "head.10" behind "head.9"."""
    return [int(part) if part.isdigit() else 0 for part in re.split(r"(\d+)", item[0])]
