"""Configuration files beside weights: Hugging Face's config.json, written for its ViT and read back."""

import json
from pathlib import Path

from functions.runtime.errors import UserError, not_a_file
from models.config import ViTConfig

GELU = {"none": "gelu", "tanh": "gelu_pytorch_tanh"}                     # ours → hidden_act
ACTIVATIONS = {"gelu": "none", "gelu_python": "none", "gelu_new": "tanh", "gelu_fast": "tanh",
               "gelu_pytorch_tanh": "tanh"}


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


def settings_beside(weights: str | Path) -> dict | None:
    """Epsilon, GELU, image size and heads from the config.json beside a file of weights of Hugging Face, or None.

    The keys are those of `convert`'s configuration. UserError, naming the file, for an activation that is no GELU.
    """
    file = Path(weights).parent / "config.json"
    found = read_json(file) if file.exists() else {}
    if "layer_norm_eps" not in found or "hidden_act" not in found:        # another library's, or of another network
        return None
    if (activation := str(found["hidden_act"])) not in ACTIVATIONS:
        raise UserError(f"{file}: hidden_act is {activation[:40]!r}, none of {', '.join(ACTIVATIONS)}")
    names = {"norm_eps": "layer_norm_eps", "image_size": "image_size", "num_heads": "num_attention_heads"}
    return {"gelu": ACTIVATIONS[activation]} | {ours: found[theirs] for ours, theirs in names.items()
                                                if found.get(theirs) is not None}
