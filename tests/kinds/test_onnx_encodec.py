"""A generator over EnCodec's latents as ONNX, with random weights in the place of Meta's."""

import numpy as np
import pytest
import torch
from tiny_exports import tiny_export

import export
from kinds.audio import onnx_player
from noise2music import load

pytest.importorskip("onnx", reason="the export to ONNX needs the package onnx")
pytest.importorskip("onnxruntime", reason="ONNX is run by onnxruntime")
transformers = pytest.importorskip("transformers", reason="EnCodec's network is that of the package transformers")
CLOSE = 1e-3


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A Hugging Face folder of EnCodec's network with random weights."""
    folder = tmp_path_factory.mktemp("encodec")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.EncodecConfig(target_bandwidths=[1.5])  # two codebooks, which the codec leaves aside
        transformers.EncodecModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(weights, tmp_path_factory):
    """A generator with torch, and its export."""
    home = tmp_path_factory.mktemp("onnx")
    folder, out = tiny_export(home / "tiny", codec="encodec_24khz", codec_weights=weights), home / "out"
    words = ["--checkpoint", str(folder), "--output", str(out), "--samples", "0", "--onnx"]
    assert export.main([*words, "--codec_weights", str(weights)]) == 0
    return load(folder, codec_weights=str(weights)), onnx_player.OnnxMusic(out)


@pytest.mark.parametrize("seconds", [0.05, 0.64, 2.17])
def test_clips_are_the_same_at_any_length(pair, seconds):
    music, player = pair
    wav, other = music.generate(seconds, seed=5).wav_N, player.generate(seconds, seed=5)
    assert other.shape == wav.shape and other.dtype == np.float32
    assert np.abs(wav - other).max() < CLOSE < wav.std()


def test_long_clips_are_joined_in_the_same_places(pair, monkeypatch):
    """As pieces of 20 s are, with shorter ones."""
    music, player = pair
    for module in ("kinds.audio.render.PIECE_FRAMES", "kinds.audio.onnx_player.PIECE"):
        monkeypatch.setattr(module, 100)
    wav, other = music.generate(4.0, seed=2).wav_N, player.generate(4.0, seed=2)
    assert np.abs(wav - other).max() < CLOSE < wav.std()


def test_the_card_says_whose_weights_are_in_the_folder(pair, weights, tmp_path):
    folder = tiny_export(tmp_path / "tiny", codec="encodec_24khz", codec_weights=weights)
    words = ["--checkpoint", str(folder), "--output", str(tmp_path / "out"), "--samples", "0"]
    said = {}
    for more in ([], ["--onnx"]):
        assert export.main([*words, "--codec_weights", str(weights), *more]) == 0
        said[bool(more)] = (tmp_path / "out" / "README.md").read_text()
    assert all("are Meta's, for non-commercial use only" in card for card in said.values())
    assert "not part of this folder" in said[False] and "decoder.onnx` holds" in said[True]
    assert "not part of this folder" not in said[True]


def test_weights_that_are_elsewhere_are_asked_for_by_an_option_that_export_has(tmp_path, weights, capsys):
    folder = tiny_export(tmp_path / "tiny", codec="encodec_24khz", codec_weights=weights)
    words = ["--checkpoint", str(folder), "--output", str(tmp_path / "out"), "--samples", "0"]
    assert export.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--codec_weights" in error
    assert export.main([*words, "--codec_weights", str(weights)]) == 0
