"""Finding, checking and refusing EnCodec weights."""

import http.server
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from encodec_files import save_named_by_digest, save_original

from audio_codecs import codec_identity, encodec_weights, open_codec
from errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def refuses(weights, match: str) -> None:
    for use in (open_codec, codec_identity):
        with pytest.raises(UserError, match=match):
            use("encodec_24khz", weights)


def test_a_wrong_digest_or_a_truncated_file_is_refused(random_encodec, tmp_path):
    content = random_encodec.original.read_bytes()
    truncated = tmp_path / random_encodec.original.name
    truncated.write_bytes(content[: len(content) // 2])
    refuses(truncated, "damaged")
    other = tmp_path / "encodec_24khz-01234567.th"
    other.write_bytes(content)
    refuses(other, "damaged.*01234567")
    nameless = tmp_path / "weights.th"
    nameless.write_bytes(content)
    refuses(nameless, "encodec_24khz-d7cc33bc.th")


class Malicious:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, writer):
    trace = tmp_path / "executed"
    if writer == "torch":
        path = save_original({"encoder.model.0.conv.conv.bias": Malicious(trace)}, tmp_path)
    else:
        path = save_named_by_digest(pickle.dumps(Malicious(trace), protocol=2), tmp_path)
    refuses(path, "plain tensors")
    assert not trace.exists()
    with path.open("rb") as file:  # the trap itself works
        torch.load(file, weights_only=False) if writer == "torch" else pickle.load(file)
    assert trace.is_dir()


def test_files_that_are_no_weights_are_refused(random_encodec, tmp_path):
    refuses(save_named_by_digest(b"not a checkpoint", tmp_path), "plain tensors")
    refuses(save_named_by_digest(b"", tmp_path), "plain tensors")
    refuses(save_original([1, 2], tmp_path), "table of tensors")
    refuses(tmp_path / "nowhere", "do not exist")
    refuses(tmp_path, "lacks config.json or model.safetensors")
    lacking = save_original({"encoder.model.0.conv.conv.bias": torch.zeros(32)}, tmp_path)
    with pytest.raises(UserError, match="not those of EnCodec's 24 kHz model"):
        open_codec("encodec_24khz", lacking)


def test_folders_of_another_model_or_damaged_ones_are_refused(random_encodec, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(random_encodec.folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    refuses(folder, "cannot be read")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sampling_rate": 48000}))
    refuses(folder, "sampling_rate is 48000")
    (folder / "config.json").write_text("{")
    refuses(folder, "config.json cannot be read")
    (folder / "config.json").write_text("[]")
    refuses(folder, "config.json cannot be read")


NOT_FOUND_THEN_CACHED = """
import sys, time
import torch
from audio_codecs import codec_identity, open_codec
from errors import UserError

for use in (codec_identity, open_codec):
    start = time.monotonic()
    try:
        use("encodec_24khz")
    except UserError as error:
        assert time.monotonic() - start < 5, time.monotonic() - start
        for way_out in ("--codec_weights", "HF_HUB_OFFLINE=1", "--codec mel"):
            assert way_out in str(error), str(error)
        assert "\\n" not in str(error)
    else:
        sys.exit("found weights in an empty home")
assert "transformers" not in sys.modules  # refused before that slow import
import pathlib, shutil
folder, hub = map(pathlib.Path, sys.argv[1:])
snapshot = hub / "models--facebook--encodec_24khz" / "snapshots" / "abc"
shutil.copytree(folder, snapshot)
(hub / "models--facebook--encodec_24khz" / "refs").mkdir()
(hub / "models--facebook--encodec_24khz" / "refs" / "main").write_text("abc")
print(codec_identity("encodec_24khz"))
"""


def test_without_weights_or_network_it_says_the_ways_out_at_once_and_then_finds_the_hugging_face_cache(
    random_encodec, tmp_path
):
    names = ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "NO_PROXY", "no_proxy")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    environment |= {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch")}
    environment |= {"https_proxy": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}  # nothing gets past that proxy
    command = [sys.executable, "-c", NOT_FOUND_THEN_CACHED, str(random_encodec.folder), str(tmp_path / "hf" / "hub")]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == codec_identity("encodec_24khz", random_encodec.folder)


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """No weights in either cache, and neither an offline switch nor a proxy in the environment."""
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(encodec_weights, "_in_hugging_face_cache", lambda: None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_the_offline_switch_forbids_the_attempt(bare_machine, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(encodec_weights, "_why_unreachable", lambda url: pytest.fail("used the network"))
    refuses(None, "HF_HUB_OFFLINE is set.*--codec_weights.*--codec mel")


def test_a_host_that_never_answers_does_not_hold_it_up(bare_machine, monkeypatch):
    monkeypatch.setattr(encodec_weights, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(encodec_weights, "ORIGINAL_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/weights")
        start = time.monotonic()
        with pytest.raises(UserError, match="cannot be downloaded"):
            codec_identity("encodec_24khz")
        assert time.monotonic() - start < 2


def test_a_download_is_checked_and_kept_in_the_torch_hub_cache(random_encodec, bare_machine, monkeypatch, tmp_path):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def log_message(self, *arguments):
            pass

    name = random_encodec.original.name
    served = tmp_path / "served" / name
    served.parent.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(encodec_weights, "ORIGINAL_NAME", name)
        monkeypatch.setattr(encodec_weights, "ORIGINAL_URL", f"http://127.0.0.1:{server.server_port}/{name}")
        served.write_bytes(b"something else")
        refuses(None, "cannot be downloaded.*hash")
        assert list(bare_machine.iterdir()) == []
        shutil.copy(random_encodec.original, served)
        identity = codec_identity("encodec_24khz")
        server.shutdown()
    assert identity == codec_identity("encodec_24khz", random_encodec.folder)
    assert codec_identity("encodec_24khz") == identity  # without the server, from the cache
    assert [path.name for path in bare_machine.iterdir()] == [name]
