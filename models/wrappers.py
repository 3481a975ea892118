"""The Vision Transformer inside a larger file: which tensors are its own, and under which prefix.

Training code wraps a network in others: DataParallel ("module."), torch.compile ("_orig_mod."), Lightning ("model."),
a class with a backbone and a head ("backbone."), self-supervised methods with two encoders ("base_encoder.",
"momentum_encoder."). The network is found by a tensor that every ViT of its library has; its prefix is taken off.
"""

import re

from torch import Tensor

from functions.errors import UserError

# A tensor that tells a library's ViT by its name, at the end of it.
MARKS = {"torchvision": "conv_proj.weight", "timm": "patch_embed.proj.weight", "ours": "patch_embedding.class_token",
         "huggingface": "embeddings.cls_token", "replicated": "class_embedding", "jax": "embedding/kernel"}
# Of two networks in one file, the one that its authors evaluate: averaged, or not the one that only gives targets.
PREFERRED = ("ema", "model_ema", "ema_model", "teacher", "base_encoder", "encoder_q", "online_encoder",
             "target_encoder", "model", "backbone", "encoder", "vit")
HEADS = {"torchvision": "heads.head.", "timm": "head.", "ours": "classifier.", "huggingface": "classifier.",
         "replicated": "classifier.1."}
HEAD_NAMES = {"head", "heads", "fc", "classifier", "mlp_head", "cls_head", "classification_head", "head_drop"}


def find_network(tensors: dict[str, Tensor]) -> tuple[str, dict[str, Tensor], list[str]]:
    """(the library whose names these are, the network's tensors without prefix, notes on what was left out).

    UserError if no ViT is known by these names, or several are and nothing tells which is meant.
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
    return f"{len(outside)} tensors outside of {prefix.removesuffix('.')} are left out: {some}"


def other_head(tensors: dict[str, Tensor], width: int) -> tuple[str, int, bool] | None:
    """(name, classes, whether it stands on y itself) of the head that `tensors` are, else None.

    A head is one dense layer (K, D) under any name, or several layers under a name that heads have.
    """
    modules = sorted({name.rpartition(".")[0] for name in tensors})
    matrices = [t for name, t in sorted(tensors.items(), key=_natural) if name.endswith("weight") and t.ndim == 2]
    kinds = {name.rpartition(".")[2] for name in tensors}
    if not matrices or not kinds <= {"weight", "bias"}:
        return None
    if len(modules) == 1 and modules[0] and matrices[0].shape[1] == width:
        biases = [t for name, t in tensors.items() if name.endswith("bias")]
        fits = all(bias.shape == matrices[0].shape[:1] for bias in biases)
        return (modules[0], len(matrices[0]), True) if fits else None
    roots = {module.split(".")[0] for module in modules}
    if len(roots) == 1 and roots <= HEAD_NAMES:
        return min(roots), len(matrices[-1]), False
    return None


def _natural(item: tuple[str, Tensor]) -> list:
    """Sorts "head.10" behind "head.9"."""
    return [int(part) if part.isdigit() else 0 for part in re.split(r"(\d+)", item[0])]
