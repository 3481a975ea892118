"""Configuration files beside weights: config.json of Hugging Face and of timm, open_clip_config.json of open_clip."""

import json
import re
from pathlib import Path

from functions.runtime.errors import UserError, not_a_file
from models.config import ViTConfig

GELU = {"none": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}                     # ours → hidden_act
ACTIVATIONS = {"gelu": "none", "gelu_python": "none", "gelu_new": "tanh", "gelu_fast": "tanh",
               "gelu_pytorch_tanh": "tanh", "quick_gelu": "quick"}
POOLING = {"token": "cls", "": "cls", "avg": "mean"}        # timm's global_pool → ours
TIMMS_GELU = {"gelu": "none", "gelu_tanh": "tanh", "quick_gelu": "quick"}                       # its act_layer → ours
ROTARY = r"(^|[_.-])rope([_.-]|$)"                          # in names of timm's models, whose files may not show it
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
    if layout == "timm" and re.search(ROTARY, Path(weights).name.lower()):
        raise UserError("by the file's name, a network with rotary positions: this ViT adds its positions to the "
                        "patches; use DINOv2")
    if layout == "open_clip" and (file := folder / OPEN_CLIP).exists():
        return _of_open_clip(read_json(file), file)
    file = folder / "config.json"
    if layout == "timm" and not file.exists() and (trunk := folder / OPEN_CLIP).exists():
        return _of_open_clips_trunk(read_json(trunk), trunk)
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
    """Pooling, GELU, heads, epsilon and image size, from the architecture's name and the arguments that change it."""
    if "architecture" not in found:
        return None
    name = str(found["architecture"])
    arguments, weights = _inside(found, "model_args"), _inside(found, "pretrained_cfg")
    if re.search(ROTARY, name):
        raise UserError(f"{file}: architecture {name[:60]} has rotary positions: this ViT adds its positions to the "
                        "patches; use DINOv2")
    if arguments.get("pool_include_prefix"):
        raise UserError(f"{file}: pool_include_prefix is set: the mean here is over the patches alone")
    settings: dict = {"gelu": "quick"} if "quickgelu" in name else {}
    for key, ours, known in (("act_layer", "gelu", TIMMS_GELU), ("norm_layer", "norm_eps", {"layernorm": 1e-6})):
        if (value := arguments.get(key)) is not None:
            if str(value) not in known:
                raise UserError(f"{file}: {key} is {str(value)[:40]!r}, none of {', '.join(known)}")
            settings[ours] = known[str(value)]
    if (pool := arguments.get("global_pool", found.get("global_pool"))) is not None:
        if str(pool) not in POOLING:
            raise UserError(f"{file}: global_pool is {str(pool)[:40]!r}: only token and avg are supported")
        settings["pool"] = POOLING[str(pool)]
    if arguments.get("num_heads") is not None:
        settings["num_heads"] = arguments["num_heads"]
    size = pair(arguments.get("img_size")) or pair(weights.get("input_size")) or pair(found.get("input_size"))
    return settings | ({"image_size": list(size)} if size else {})


def _of_open_clip(found: dict, file: Path) -> dict:
    """GELU, epsilon and heads: OpenAI's weights have the quick GELU, and open_clip's default is the exact one."""
    model = _inside(found, "model_cfg")
    vision = _inside(model, "vision_cfg")
    pool = vision.get("pool_type", "tok")
    if pool != "tok" or vision.get("global_average_pool"):
        raise UserError(f"{file}: the image tower pools by {str(pool)[:40]!r}: only tok, the class token, is supported")
    act, norm = _inside(vision, "act_kwargs"), _inside(vision, "norm_kwargs")
    exact = "tanh" if act.get("approximate") == "tanh" else "none"
    settings: dict = {"gelu": "quick" if model.get("quick_gelu") is True else exact}
    settings |= {"norm_eps": norm["eps"]} if "eps" in norm else {}
    width, per_head = vision.get("width"), vision.get("head_width")
    if type(width) is int and type(per_head) is int and per_head > 0:
        settings["num_heads"] = width // per_head
    return settings


def _of_open_clips_trunk(found: dict, file: Path) -> dict | None:
    """The settings of an image tower that is a network of timm, such as BiomedCLIP's."""
    vision = _inside(_inside(found, "model_cfg"), "vision_cfg")
    if "timm_model_name" not in vision:
        return None
    return _of_timm({"architecture": vision["timm_model_name"], "global_pool": vision.get("timm_pool", "")}, file)


def _inside(found: dict, key: str) -> dict:
    """The dictionary under a key; {} if there is none."""
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def pair(value: object) -> tuple[int, int] | None:
    """(height, width) out of a number, {"height": …, "width": …} or [channels, height, width]; None for others."""
    sides = [value, value]
    if isinstance(value, dict):
        sides = [value.get("height"), value.get("width")]
    elif isinstance(value, (list, tuple)):
        sides = list(value[-2:])
    height, width = sides if len(sides) == 2 else (None, None)
    if type(height) is not int or type(width) is not int or not (0 < height < 2**16 and 0 < width < 2**16):
        return None
    return height, width


def model_type(weights: Path) -> str:
    """The kind of network that Hugging Face's config.json beside a file of weights names, such as vit_mae, or ""."""
    file = weights.parent / "config.json"
    return str(read_json(file).get("model_type", "")) if file.exists() else ""
