"""The Hugging Face hub, with a stub in its place: names, folders, what is asked for, errors in one sentence."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_exports import tiny_export

import evaluate
import export
import generate
from errors import UserError
from kinds.audio.files import write_wav
from noise2music import load
from synthesis.hub import FETCHED, FILES, local_folder, push


class StubHub:
    """A hub of local folders: `models` by name. It records what is asked for."""

    def __init__(self, home):
        self.home, self.models, self.asked = home, {}, []

    def snapshot_download(self, name, revision=None, allow_patterns=None):
        self.asked.append((name, revision, allow_patterns))
        if name not in self.models:
            raise OSError("404 Client Error.\nRepository Not Found")
        return str(self.models[name])

    def HfApi(self):  # noqa: N802 (the hub's name)
        return SimpleNamespace(create_repo=self.create_repo, upload_folder=self.upload_folder)

    def create_repo(self, name, private, exist_ok):
        assert exist_ok
        self.asked.append((name, private))
        self.models[name] = self.home / name.replace("/", "--")

    def upload_folder(self, folder_path, repo_id, allow_patterns, commit_message):
        assert allow_patterns == FILES and commit_message
        shutil.copytree(folder_path, self.models[repo_id])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    stub = StubHub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", stub)
    stub.__spec__ = SimpleNamespace()
    return stub


def test_paths_are_left_as_they_are(tmp_path):
    assert local_folder(tmp_path) == local_folder(str(tmp_path)) == tmp_path


def test_a_model_is_fetched_by_name_and_revision(hub, tmp_path):
    hub.models["anna/tunes"] = tmp_path
    assert local_folder("hf:anna/tunes") == local_folder("hf:anna/tunes@v1.0") == tmp_path
    assert hub.asked == [("anna/tunes", None, FETCHED), ("anna/tunes", "v1.0", FETCHED)]


@pytest.mark.parametrize("name", ["hf:tunes", "hf:", "hf:a/b/c", "hf:an na/tunes", "hf:anna/tunes@"])
def test_what_is_no_name_is_said(hub, name):
    with pytest.raises(UserError, match="give hf:user/name"):
        local_folder(name)
    assert hub.asked == []


def test_what_is_not_there_is_one_sentence(hub, capsys):
    for program in (generate, evaluate):
        assert program.main(["--checkpoint", "hf:anna/nothing"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "hf:anna/nothing cannot be fetched (404 Client Error)" in error


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        local_folder("hf:anna/tunes")


def test_a_generator_goes_up_and_comes_down_again(hub, tmp_path, capsys):
    folder = tiny_export(tmp_path / "run")
    words = ["--checkpoint", str(folder), "--output", str(tmp_path / "out"), "--samples", "1", "--duration", "0.4"]
    assert export.main([*words, "--push", "hf:anna/tunes", "--private"]) == 0
    assert hub.asked == [("anna/tunes", True)]
    assert 'load("hf:anna/tunes")' in (tmp_path / "out" / "README.md").read_text()
    assert "https://huggingface.co/anna/tunes" in capsys.readouterr().out
    fetched = load("hf:anna/tunes").generate(0.5, seed=3).wav_N
    assert (fetched == load(folder).generate(0.5, seed=3).wav_N).all()
    options = ["--checkpoint", "hf:anna/tunes", "--num", "1", "--duration", "0.4", "--output_dir", str(tmp_path / "o")]
    assert generate.main(options) == 0 and len(list((tmp_path / "o").glob("*.wav"))) == 1


def test_a_model_of_the_hub_is_evaluated_as_its_folder_is(hub, tmp_path):
    hub.models["anna/tunes"] = folder = tiny_export(tmp_path / "run")
    rng = np.random.default_rng(0)
    for k in range(8):
        for split in ("train", "val"):
            (tmp_path / split).mkdir(exist_ok=True)
            write_wav(tmp_path / split / f"{k}.wav", 0.1 * rng.standard_normal(5 * 24_000).astype(np.float32))
    words = ["--checkpoint", "hf:anna/tunes", str(folder), "--dataset_folder", str(tmp_path), "--num", "16"]
    words += ["--duration", "2", "--rounds", "10", "--rulers", "clips", "--json", str(tmp_path / "out.json")]
    assert evaluate.main(words) == 0
    assert hub.asked == [("anna/tunes", None, FETCHED)]
    sets = json.loads((tmp_path / "out.json").read_text())["sets"]
    fetched, local = (sets[f"{name} (epoch 1, step 1)"] for name in ("tunes", "run"))
    assert fetched == local and fetched["frechet"]["value"] > 0


def test_a_refused_upload_is_one_sentence(hub, tmp_path):
    def refuse(*_, **__):
        raise PermissionError("401 Unauthorized")

    hub.create_repo = refuse
    with pytest.raises(UserError, match=r"cannot be pushed to hf:anna/tunes \(401 Unauthorized\).*hf auth login"):
        push(tmp_path, "hf:anna/tunes")
    with pytest.raises(UserError, match="revision"):
        push(tmp_path, "hf:anna/tunes@v1")


def test_the_hubs_own_client_finds_a_folder_in_its_cache(tmp_path, monkeypatch):
    """The real package, without a network: a model in its cache is found, another is one sentence."""
    real = pytest.importorskip("huggingface_hub")
    home, commit = tmp_path / "models--anna--tunes", "0" * 40
    tiny_export(home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    fetch = real.snapshot_download
    monkeypatch.setattr(
        real, "snapshot_download", lambda *a, **k: fetch(*a, cache_dir=tmp_path, local_files_only=True, **k)
    )
    assert local_folder("hf:anna/tunes") == home / "snapshots" / commit
    with pytest.raises(UserError, match="hf:anna/others cannot be fetched"):
        local_folder("hf:anna/others")
