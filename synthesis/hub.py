"""Models on the Hugging Face hub: `hf:user/name` stands for a folder."""

from pathlib import Path

from errors import UserError

PREFIX = "hf:"
PARTS = ["*.json", "*.safetensors", "*.md"]  # what an exported folder holds; nothing that could be executed


def local_folder(path_or_hf: str | Path) -> Path:
    """The path itself; for `hf:user/name` the model's folder in the local cache, downloaded where it is missing or old.

    Raises:
        UserError: the package huggingface_hub is missing, there is no such model, or the hub cannot be reached.
    """
    text = str(path_or_hf)
    if not text.startswith(PREFIX):
        return Path(path_or_hf)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(f"{text} needs the package huggingface_hub: pip install huggingface_hub") from None
    try:
        return Path(snapshot_download(text.removeprefix(PREFIX), allow_patterns=PARTS))
    except (OSError, ValueError) as error:  # what the package raises, for the network and for names alike
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{text} cannot be downloaded: {reason}") from None
