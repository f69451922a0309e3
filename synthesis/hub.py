"""Generators on the Hugging Face hub: fetched as folders by the name hf:user/name, pushed from exported folders."""

import importlib.util
import os
import re
from pathlib import Path

from errors import UserError

PREFIX = "hf:"
FILES = ["config.json", "generator.safetensors", "decoder/*", "README.md", "samples/*", "*.onnx", "onnx*"]
FETCHED = ["config.json", "generator.safetensors", "decoder/*"]  # what generation needs
_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def local_folder(path_or_hf: str | Path) -> Path:
    """The path itself (~ is the home folder); for hf:user/name or hf:user/name@revision the folder into which the model
    was fetched.

    The hub's cache is used: what is there already is not fetched again.

    Raises:
        UserError: huggingface_hub is missing, or the model cannot be fetched.
    """
    if not str(path_or_hf).startswith(PREFIX):
        return Path(os.path.expanduser(path_or_hf))
    name, _, revision = _name_of(str(path_or_hf)).partition("@")
    _need_hub()
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(name, revision=revision or None, allow_patterns=FETCHED)
    except Exception as error:  # the hub's, its HTTP library's and the system's own
        raise UserError(f"{path_or_hf} cannot be fetched ({_reason(error)}): check the name and the network") from None
    return Path(folder)


def push(folder: Path, name: str, private: bool = False) -> str:
    """Uploads an exported folder as the model hf:user/name, which is made if necessary -> its address.

    The token is that of `hf auth login`, or in the environment variable HF_TOKEN.

    Raises:
        UserError: huggingface_hub is missing, or the upload is refused.
    """
    repository = _name_of(name if name.startswith(PREFIX) else PREFIX + name)
    if "@" in repository:
        raise UserError(f"{name}: a revision cannot be pushed to, leave {repository[repository.index('@') :]} out")
    _need_hub()
    import huggingface_hub

    try:
        api = huggingface_hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            folder_path=str(folder), repo_id=repository, allow_patterns=FILES, commit_message="Exported generator"
        )
    except Exception as error:
        raise UserError(
            f"{folder} cannot be pushed to {name} ({_reason(error)}): check the name, and hf auth login"
        ) from None
    return f"https://huggingface.co/{repository}"


def _name_of(text: str) -> str:
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise UserError(f"{text} is no model of the Hugging Face hub: give hf:user/name")
    return name


def _need_hub() -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UserError("models of the Hugging Face hub need the package huggingface_hub: pip install huggingface_hub")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
