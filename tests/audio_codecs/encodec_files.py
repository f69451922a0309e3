"""Writes EnCodec weights in the original file's form, for tests."""

import hashlib
import io
import re
from pathlib import Path

import torch


def original_name_of(key: str) -> str:
    """transformers' name of a tensor -> the original file's."""
    key = key.replace(".parametrizations.weight.original0", ".weight_g")
    key = key.replace(".parametrizations.weight.original1", ".weight_v")
    if ".lstm." not in key:
        # The upsampling convolutions are the decoder's layers 3, 6, 9 and 12.
        twice = ".convtr.convtr." if re.match(r"decoder\.layers\.(3|6|9|12)\.", key) else ".conv.conv."
        key = key.replace(".conv.", twice)
    return re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", key)


def save_original(state: object, folder: Path) -> Path:
    """`state` as a .th file named by its own digest."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return save_named_by_digest(buffer.getvalue(), folder)


def save_named_by_digest(content: bytes, folder: Path) -> Path:
    path = folder / f"encodec_24khz-{hashlib.sha256(content).hexdigest()[:8]}.th"
    path.write_bytes(content)
    return path
