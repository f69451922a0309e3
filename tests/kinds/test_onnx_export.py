"""Generators as ONNX: the same clips without torch."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from tiny_exports import LEARNED, STEPS, tiny_export

import export
from errors import UserError
from kinds.audio import onnx_player
from kinds.audio.onnx_export import write_onnx
from noise2music import load
from runtime.seeding import Purpose, normal, uniform

pytest.importorskip("onnx", reason="the export to ONNX needs the package onnx")
pytest.importorskip("onnxruntime", reason="ONNX is run by onnxruntime")
ROOT = Path(__file__).parents[2]
CLOSE = 1e-3
KINDS = {
    "plain": {},
    "steps, slow noise": STEPS | {"offset_noise": 0.4, "offset_seconds": 0.3, "patch_frames": 3},
    "refined": {"refine_channels": 4, "conditions": "alpha", "clip_statistics": False} | STEPS,
    "cascade": {"generator": "cascade"},
    "labels": {"labels": True} | STEPS | {"offset_noise": 0.3},
    "labels, learned guidance": {"labels": True} | LEARNED,
    "creative agent": {"use_creative_agent": True} | STEPS,
    "compositional agent": {"use_compositional_agent": True, "generator": "cascade"},
    "temporal masks": {"mask_type": "temporal", "mask_temporal_segment": 20},
    "frequency masks": {"mask_type": "frequency"},
    "spectral masks": {"mask_type": "spectral", "mask_channel_keep": 0.4},
    "hybrid masks": {"mask_type": "hybrid", "mask_temporal_segment": 30},
}


def made(folder, tmp_path, *options):
    out = tmp_path / "out"
    words = ["--checkpoint", str(folder), "--output", str(out), "--samples", "0", "--onnx", *options]
    assert export.main(words) == 0
    return out


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """A generator with torch, and its export."""
    home = tmp_path_factory.mktemp("onnx")
    folder = tiny_export(home / "tiny", **KINDS[request.param])
    return load(folder), onnx_player.OnnxMusic(made(folder, home))


@pytest.mark.parametrize("seconds", [0.3, 0.64, 0.65, 2.17])
def test_clips_are_the_same_at_any_length(pair, seconds):
    music, player = pair
    wav, other = music.generate(seconds, seed=5).wav_N, player.generate(seconds, seed=5)
    assert other.shape == wav.shape and other.dtype == np.float32
    assert np.abs(wav - other).max() < CLOSE < wav.std()


def test_labels_guidance_and_steps_are_the_same(pair):
    music, player = pair
    if not music.labels:
        with pytest.raises(ValueError, match="no label 'genre'"):
            player.generate(0.5, label={"genre": "jazz"})
        return
    asked = {"label": {"genre": "jazz", "tempo": 95}, "guidance": 1.5, "passes": 2, "temperature": 0.8}
    wav, other = music.generate(1.0, seed=2, **asked).wav_N, player.generate(1.0, seed=2, **asked)
    assert np.abs(wav - other).max() < CLOSE
    assert np.abs(wav - player.generate(1.0, seed=2)).max() > 10 * CLOSE
    for seed, label in ((3, {"genre": "folk"}), (4, "none"), (5, None)):  # the rest is drawn, nothing is, all is
        wav, other = (one.generate(0.5, seed=seed, label=label) for one in (music, player))
        assert np.abs(wav.wav_N - other).max() < CLOSE


@pytest.mark.parametrize("shape", [(128, 1), (3, 7), (128, 50), (16, 1)])
def test_noise_is_torchs(shape):
    for seed in (0, 2**31 + 5, 2**62 + 11):
        theirs = normal(seed, Purpose.TARGET_NOISE, [3], shape, "cpu")[0].numpy()
        mine = onnx_player.normal(onnx_player.mix_seed(seed, Purpose.TARGET_NOISE, 3), shape)
        np.testing.assert_allclose(mine, theirs, atol=2e-6)


def test_long_clips_are_decoded_in_pieces_without_seams(tmp_path):
    folder = tiny_export(tmp_path / "tiny")
    music, player = load(folder), onnx_player.OnnxMusic(made(folder, tmp_path))
    t = torch.arange(1700) / 75
    loudness_N = (0.2 + 0.1 * torch.sin(t)).repeat_interleave(320)
    wav_N = loudness_N * torch.sin(2 * np.pi * 440 / 24_000 * torch.arange(1700 * 320))
    latents = music.codec.encode(wav_N[None, None])
    theirs, mine = music.codec.decode(latents)[0, 0].numpy(), player.decode(latents[0].numpy())
    assert np.abs(theirs - mine).max() < CLOSE


def test_the_script_in_docs_needs_no_torch(tmp_path):
    folder, clip = made(tiny_export(tmp_path / "tiny"), tmp_path), tmp_path / "clip.wav"
    blocked = "import sys; sys.modules['torch'] = None; import runpy; runpy.run_path(sys.argv.pop(1))"
    script = str(ROOT / "docs" / "onnx_without_torch.py")
    code = [sys.executable, "-c", blocked, script, str(folder), str(clip)]
    subprocess.run(code, check=True, cwd=tmp_path, env={"PYTHONPATH": ":".join(sys.path)})
    wav, rate = soundfile.read(clip)
    assert rate == 24_000 and len(wav) == 240_000 and wav.std() > 1e-4


CANNOT = {
    "masks.onnx": {"mask_type": "energy"},  # ONNX has no quantiles
    "--noise_channels": {"noise_channels": "0:64", "pure_gan_mode": 0.1},
}


@pytest.mark.parametrize("said", CANNOT)
def test_what_cannot_be_exported_is_one_sentence(tmp_path, capsys, said):
    folder = tiny_export(tmp_path / "tiny", **CANNOT[said])
    words = ["--checkpoint", str(folder), "--output", str(tmp_path / "out"), "--samples", "0", "--onnx"]
    assert export.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not list((tmp_path / "out").glob("*.partial"))


def test_generators_that_start_from_vectors_are_refused(tmp_path):
    loaded = SimpleNamespace(sources=SimpleNamespace(only_noise=True))
    with pytest.raises(UserError, match="start from vectors cannot be exported"):
        write_onnx(SimpleNamespace(loaded=loaded), tmp_path)


def test_masks_of_an_earlier_export_do_not_stay(tmp_path):
    """An exported folder that is written again, by a generator without masks."""
    masked, plain = (tiny_export(tmp_path / name, mask_type=name) for name in ("frequency", "none"))
    out = made(masked, tmp_path)
    assert (out / "masks.onnx").is_file()
    assert made(plain, tmp_path) == out and not (out / "masks.onnx").exists()
    wav, other = load(plain).generate(0.5, seed=3).wav_N, onnx_player.OnnxMusic(out).generate(0.5, seed=3)
    assert np.abs(wav - other).max() < CLOSE < wav.std()


def test_uniform_numbers_are_torchs():
    for seed, count in ((3, 1), (2**62 + 11, 128)):
        theirs = uniform(seed, Purpose.MASK, [4], (count,), "cpu")[0].numpy()
        assert (onnx_player.uniform(onnx_player.mix_seed(seed, Purpose.MASK, 4), count) == theirs).all()
