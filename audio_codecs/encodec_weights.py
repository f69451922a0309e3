"""EnCodec's 24 kHz weights: where to find them, whether they are intact, and one form for both published formats.

Nothing here runs code from a weights file: pickles are read with `weights_only=True`, after their digest was checked.
"""

import hashlib
import http.client
import importlib.util
import io
import json
import os
import re
import sys
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from errors import UserError

HUB_REPOSITORY = "facebook/encodec_24khz"
ORIGINAL_NAME = "encodec_24khz-d7cc33bc.th"  # with the first digits of the file's sha256, as in torch hub
ORIGINAL_URL = f"https://dl.fbaipublicfiles.com/encodec/v0/{ORIGINAL_NAME}"
CONNECT_SECONDS = 3.0
ARCHITECTURE = {
    "sampling_rate": 24000,
    "audio_channels": 1,
    "normalize": False,
    "hidden_size": 128,
    "num_filters": 32,
    "num_residual_layers": 1,
    "upsampling_ratios": [8, 5, 4, 2],
    "norm_type": "weight_norm",
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "dilation_growth_rate": 2,
    "use_causal_conv": True,
    "pad_mode": "reflect",
    "compress": 2,
    "num_lstm_layers": 2,
    "trim_right_ratio": 1.0,
    "use_conv_shortcut": True,
}

_digests: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True)
class EncodecWeights:
    """Tensors of encoder and decoder under transformers' names, and a digest of their names, shapes and values.

    The digest is of the contents, not of the file, so that both formats of the same weights name one latent space.
    """

    path: Path
    state: dict[str, Tensor]
    digest: str


def weights_digest(weights: str | Path | None) -> str:
    """Hex sha256 of the weights that `load_weights` would give; read once per process. Raises the same errors."""
    path = find_weights(weights)
    return _digests.get(_stamp(path)) or load_weights(path).digest


def load_weights(weights: str | Path | None) -> EncodecWeights:
    """Find, check and read the weights; raises UserError if they are missing, damaged or of another model."""
    path = find_weights(weights)
    stamp = _stamp(path)
    tensors = _read_safetensors(path) if path.name == "model.safetensors" else _read_original(path)
    state = {
        _transformers_name(key): value.float() for key, value in tensors.items() if not key.startswith("quantizer.")
    }
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(f"{key} {tuple(state[key].shape)} ".encode())
        digest.update(state[key].contiguous().numpy().tobytes())
    _digests[stamp] = digest.hexdigest()
    return EncodecWeights(path, state, digest.hexdigest())


def find_weights(weights: str | Path | None) -> Path:
    """The weights' file: `model.safetensors` (its config.json checked) or an original `encodec_24khz-<8 hex>.th`.

    Without `weights`: the Hugging Face cache, torch hub's cache, then a download into the latter, unless
    HF_HUB_OFFLINE=1 forbids it. Raises UserError within 5 seconds if there is no network.
    """
    if weights is not None:
        return _given(Path(weights).expanduser())
    in_hub_cache = Path(torch.hub.get_dir()) / "checkpoints" / ORIGINAL_NAME
    for found in (_in_hugging_face_cache(), in_hub_cache):
        if found is not None and found.is_file():
            return found
    _download(in_hub_cache)
    return in_hub_cache


def _given(path: Path) -> Path:
    if path.is_dir():
        file = path / "model.safetensors"
        if not file.is_file() or not (path / "config.json").is_file():
            raise UserError(
                f"The folder {path} given as --codec_weights lacks config.json or model.safetensors; "
                f"give a folder as published under {HUB_REPOSITORY}, or the file {ORIGINAL_NAME}."
            )
        _check_config(path / "config.json")
        return file
    if path.name == "model.safetensors" and path.is_file():
        return _given(path.parent)
    if not path.is_file():
        raise UserError(f"The EnCodec weights {path} given as --codec_weights do not exist; check the path.")
    return path


def _check_config(file: Path) -> None:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        differing = [key for key, value in ARCHITECTURE.items() if config.get(key, value) != value]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"The EnCodec configuration {file} cannot be read ({error}); fetch it anew.") from error
    if differing:
        raise UserError(
            f"The weights beside {file} are not EnCodec's 24 kHz model ({differing[0]} is {config[differing[0]]!r}, "
            f"not {ARCHITECTURE[differing[0]]!r}); give those of {HUB_REPOSITORY}."
        )


def _in_hugging_face_cache() -> Path | None:
    if importlib.util.find_spec("huggingface_hub") is None:  # installed with transformers, an optional dependency
        return None
    from huggingface_hub import try_to_load_from_cache

    files = [try_to_load_from_cache(HUB_REPOSITORY, name) for name in ("config.json", "model.safetensors")]
    if not all(isinstance(file, str) for file in files):
        return None
    return _given(Path(files[1]).parent)


def _download(target: Path) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise _not_found(target, "were not downloaded, because HF_HUB_OFFLINE is set")
    reason = _why_unreachable(ORIGINAL_URL)
    if reason is not None:
        raise _not_found(target, f"cannot be downloaded ({reason}; HF_HUB_OFFLINE=1 skips the attempt)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digits = _digits_in_name(target)
        torch.hub.download_url_to_file(ORIGINAL_URL, str(target), hash_prefix=digits, progress=sys.stderr.isatty())
    except (
        OSError,
        http.client.HTTPException,
        RuntimeError,
    ) as error:  # no network, no disk space, or a digest that does not match
        raise _not_found(target, f"cannot be downloaded ({error}; HF_HUB_OFFLINE=1 skips the attempt)") from error


def _why_unreachable(url: str) -> str | None:
    """None if `url` answers in time. In a thread, because looking up a host name has no time limit."""
    outcome = ["no answer"]

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=CONNECT_SECONDS):
                outcome[0] = None
        except (OSError, http.client.HTTPException) as error:
            outcome[0] = str(getattr(error, "reason", error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 0.5)
    return outcome[0]


def _not_found(target: Path, why: str) -> UserError:
    return UserError(
        f"EnCodec's weights are neither in the Hugging Face cache ({HUB_REPOSITORY}) nor at {target}, and {why}; "
        f"give --codec_weights PATH (a folder with config.json and model.safetensors, or {ORIGINAL_NAME}), "
        "or use --codec mel, which needs no weights."
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise UserError(f"The EnCodec weights {path} cannot be read ({error}); fetch them anew.") from error


def _read_original(path: Path) -> dict[str, Tensor]:
    digits = _digits_in_name(path)
    if digits is None:
        raise UserError(
            f"The EnCodec weights {path} cannot be checked, since their name holds no digest; "
            f"give the file under its original name, {ORIGINAL_NAME}."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The EnCodec weights {path} cannot be read ({error}); check its permissions.") from error
    if not hashlib.sha256(content).hexdigest().startswith(digits):
        raise UserError(f"The EnCodec weights {path} are damaged (their sha256 is not {digits}...); fetch them anew.")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # an unknown file can fail to parse in any way
        raise UserError(f"{path} does not hold plain tensors and was not opened; give {ORIGINAL_NAME}.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} does not hold a table of tensors; give {ORIGINAL_NAME}.")
    return state


def _digits_in_name(path: Path) -> str | None:
    match = re.search(r"-([0-9a-f]{8,64})\.th$", path.name)
    return match[1] if match else None


def _transformers_name(key: str) -> str:
    """Names of the original file, or of older transformers, to those of transformers 5; those stay as they are."""
    key = re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", key)
    key = key.replace(".convtr.convtr.", ".conv.").replace(".conv.conv.", ".conv.")
    key = re.sub(r"\.weight_g$", ".parametrizations.weight.original0", key)
    return re.sub(r"\.weight_v$", ".parametrizations.weight.original1", key)


def _stamp(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns
