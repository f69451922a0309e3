"""`hf:user/name`: a folder in the hub's cache, or one sentence. Nothing here reaches the hub."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from errors import UserError
from synthesis.hub import local_folder


def test_a_path_is_itself():
    assert local_folder("checkpoints/last.pt") == Path("checkpoints/last.pt")
    assert local_folder(Path("a")) == Path("a")


def test_a_model_is_downloaded_without_anything_executable(monkeypatch, tmp_path):
    asked = {}

    def snapshot_download(repo_id, allow_patterns):
        asked.update(repo_id=repo_id, allow_patterns=allow_patterns)
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    assert local_folder("hf:somebody/music") == tmp_path
    assert asked["repo_id"] == "somebody/music"
    assert {"*.json", "*.safetensors"} <= set(asked["allow_patterns"])
    assert not any(pattern.endswith((".pt", ".bin", ".py", "*")) for pattern in asked["allow_patterns"])


def test_a_hub_that_is_not_reached_is_one_sentence(monkeypatch):
    def snapshot_download(*_, **__):
        raise ConnectionError("no route to the hub\nand a second line")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    with pytest.raises(UserError, match="^hf:somebody/music cannot be downloaded: no route to the hub$"):
        local_folder("hf:somebody/music")


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="needs the package huggingface_hub: pip install"):
        local_folder("hf:somebody/music")


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:somebody/never cached"])
def test_names_that_are_none_and_models_that_are_not_there(name):
    """By the package itself, which is offline in tests."""
    pytest.importorskip("huggingface_hub")
    with pytest.raises(UserError) as caught:
        local_folder(name)
    assert name in str(caught.value) and "\n" not in str(caught.value)
