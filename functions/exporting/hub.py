"""Pushing an exported folder to the Hugging Face Hub. Nothing here runs unless --push is given."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.runtime.errors import UserError

KEPT = {".gitattributes"}           # made by the Hub


def hub_api() -> Any:
    """The Hub's client; it finds the token that `hf auth login` stored, or HF_TOKEN."""
    from huggingface_hub import HfApi

    return HfApi()


def check_target(api: Any, name: str) -> str:
    """The full name USER/NAME of the repository to push to.

    UserError, one line, without a token or a connection, for a name of another user or organisation, and for an invalid
    one. `api` is a huggingface_hub.HfApi.
    """
    who = _call(api.whoami, name)
    mine = [who["name"], *(group["name"] for group in who.get("orgs", []))]
    full = name if "/" in name else f"{mine[0]}/{name}"
    owner = full.split("/")[0]
    if owner not in mine:
        raise UserError(f"--push {name}: {owner} is not {' or '.join(mine)}, to whom the token belongs: push to "
                        f"{mine[0]}/{full.split('/')[1]}, and give the owner a link")
    _call(api.repo_exists, name, full)
    return full


def push(api: Any, folder: Path, full: str) -> str:
    """Uploads the folder's files as one commit and returns the address; a new repository is private.

    UserError, one line, if the repository holds a file that the folder has not: it would stay there beside a network
    that it does not belong to; and if the upload fails.
    """
    try:
        if _call(api.repo_exists, full, full):
            there = set(_call(api.list_repo_files, full, full))
            if stale := sorted(there - {path.name for path in folder.iterdir()} - KEPT):
                raise UserError(f"--push {full}: the repository exists and holds {stale[0]} ({len(stale)} such files), "
                                "which would stay there: remove them, or push to another name")
        address = _call(api.create_repo, full, full, private=True, exist_ok=True)
        _call(api.upload_folder, full, repo_id=full, folder_path=str(folder), commit_message="Exported network")
    except UserError as error:
        again = f"hf upload {shlex.quote(full)} {shlex.quote(str(folder))} --private"
        raise UserError(f"{error}; {folder} is complete: {again} uploads it later") from None
    return str(address)


def _call(method: Callable, name: str, *arguments, **options) -> Any:
    """One call of the Hub's client, whose errors are all of the token, the network or the Hub."""
    from huggingface_hub import errors

    try:
        return method(*arguments, **options)
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"--push {name}: {type(error).__name__}: {reason}") from None
