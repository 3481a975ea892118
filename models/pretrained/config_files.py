"""Configuration files beside weights: config.json of Hugging Face and of timm, open_clip_config.json of open_clip."""

import json
from pathlib import Path

from functions.runtime.errors import UserError, not_a_file
from models.config import ViTConfig

GELU = {"none": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}                     # ours → hidden_act
ACTIVATIONS = {"gelu": "none", "gelu_python": "none", "gelu_new": "tanh", "gelu_fast": "tanh",
               "gelu_pytorch_tanh": "tanh", "quick_gelu": "quick"}
POOLING = {"token": "cls", "": "cls", "avg": "mean"}        # timm's global_pool → ours
OPEN_CLIP = "open_clip_config.json"


def read_json(file: Path) -> dict:
    """The object in a JSON file beside weights; UserError, one line with the file, if there is none in it."""
    if why := not_a_file(file):
        raise UserError(f"{file}, which describes the weights beside it, is {why}: remove or rename it")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:        # JSON's and UTF-8's errors are ValueErrors
        raise UserError(f"{file} is not JSON ({' '.join(str(error).split())[:100]})") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} is not a JSON object")
    return found


def huggingface_config(config: ViTConfig) -> dict:
    """The architecture in config.json, by the names of transformers' ViTConfig."""
    return {"architectures": ["ViTForImageClassification"], "model_type": "vit",
            "image_size": list(config.image_size), "patch_size": config.patch_size, "num_channels": config.in_channels,
            "num_hidden_layers": config.num_layers, "hidden_size": config.embedding_dim,
            "num_attention_heads": config.num_heads, "intermediate_size": config.mlp_size,
            "hidden_act": GELU[config.gelu], "layer_norm_eps": config.norm_eps,
            "hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": 0.0, "qkv_bias": True}


def settings_beside(weights: str | Path, layout: str) -> dict | None:
    """What the configuration beside a file of weights says of the network, or None; the keys are those of `convert`'s.

    `layout` is the library of the tensors' names (`recognise` in key_maps.py): another library's file is not read.
    UserError, naming the file, for an activation that is no GELU and a pooling that this project has not.
    """
    folder = Path(weights).parent
    if layout == "open_clip" and (file := folder / OPEN_CLIP).exists():
        return _of_open_clip(read_json(file), file)
    file = folder / "config.json"
    if layout not in ("huggingface", "timm") or not file.exists():
        return None
    return (_of_huggingface if layout == "huggingface" else _of_timm)(read_json(file), file)


def _of_huggingface(found: dict, file: Path) -> dict | None:
    """Epsilon, GELU, image size and heads; CLIP's whole model keeps its image tower's under vision_config."""
    if isinstance(tower := found.get("vision_config"), dict):
        found = {"layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"} | tower       # transformers' CLIPVisionConfig
    if "layer_norm_eps" not in found or "hidden_act" not in found:        # another library's, or of another network
        return None
    if (activation := str(found["hidden_act"])) not in ACTIVATIONS:
        raise UserError(f"{file}: hidden_act is {activation[:40]!r}, none of {', '.join(ACTIVATIONS)}")
    names = {"norm_eps": "layer_norm_eps", "image_size": "image_size", "num_heads": "num_attention_heads"}
    return {"gelu": ACTIVATIONS[activation]} | {ours: found[theirs] for ours, theirs in names.items()
                                                if found.get(theirs) is not None}


def _of_timm(found: dict, file: Path) -> dict | None:
    """The pooling, and the quick GELU, which is part of an architecture's name."""
    if "architecture" not in found:
        return None
    settings = {"gelu": "quick"} if "quickgelu" in str(found["architecture"]) else {}
    if (pool := found.get("global_pool")) is not None:
        if str(pool) not in POOLING:
            raise UserError(f"{file}: global_pool is {str(pool)[:40]!r}: only token and avg are supported")
        settings["pool"] = POOLING[str(pool)]
    return settings


def _of_open_clip(found: dict, file: Path) -> dict:
    """The GELU: OpenAI's weights have the quick one, and open_clip's default is the exact one."""
    model = found.get("model_cfg") if isinstance(found.get("model_cfg"), dict) else {}
    vision = model.get("vision_cfg") if isinstance(model.get("vision_cfg"), dict) else {}
    pool = vision.get("pool_type", "tok")
    if pool != "tok" or vision.get("global_average_pool"):
        raise UserError(f"{file}: the image tower pools by {str(pool)[:40]!r}: only tok, the class token, is supported")
    return {"gelu": "quick" if model.get("quick_gelu") is True else "none"}
