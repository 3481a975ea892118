"""Weights from the Hugging Face Hub, by name: hf:OWNER/NAME, or timm:NAME for the models of timm."""

import re
import sys
from pathlib import Path

from functions.runtime.errors import UserError

PREFIXES = ("hf:", "timm:")
# What is downloaded: numbers and descriptions, never pickles, which can hold code.
DESCRIPTIONS = ("config.json", "preprocessor_config.json", "open_clip_config.json", "description.json")
WEIGHTS = (("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
           ("open_clip_model.safetensors",))         # only where the first are not


def on_hub(source: object) -> bool:
    """Whether `source` names weights on the Hub."""
    return isinstance(source, str) and source.startswith(PREFIXES)


def download(source: str) -> Path:
    """The folder, in Hugging Face's own cache, with the weights and their description; what is there is not fetched
    again.

    NAME@REVISION is a branch, a tag or a commit. UserError, one line with what to do, without the package, without a
    connection, for a name that does not exist or needs a token, and for a repository without safetensors.
    """
    kind, _, name = source.partition(":")
    name, _, revision = name.partition("@")
    repository = f"timm/{name}" if kind == "timm" and "/" not in name else name
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository, re.ASCII):
        raise UserError(f"--weights {source} is no name on the Hub: expected hf:OWNER/NAME, such as "
                        "hf:facebook/dinov2-small, or timm:NAME; a folder or a file is given without hf:")
    version = f" --revision {revision}" * bool(revision)
    by_hand = (f"`hf download {repository}{version} --local-dir FOLDER` on a machine with internet, and --weights "
               "FOLDER here")
    try:
        from huggingface_hub import snapshot_download, utils
    except ImportError:
        raise UserError(f"--weights {source} needs the package huggingface_hub: pip install huggingface_hub, or "
                        f"{by_hand}") from None
    from huggingface_hub import errors

    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    for patterns in WEIGHTS:
        try:
            folder = Path(snapshot_download(repository, revision=revision or None,
                                            allow_patterns=[*DESCRIPTIONS, *patterns]))
        except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise UserError(f"--weights {source}: cannot download {repository} ({reason}): {by_hand}") from None
        if any(file.suffix == ".safetensors" for file in folder.iterdir()):
            return folder
    raise UserError(f"--weights {source}: {repository} holds no model.safetensors (nor does its folder in the cache, "
                    f"{folder}); its other files can hold code and are not downloaded: get one yourself and give "
                    "--weights FILE, which is read without running code")
