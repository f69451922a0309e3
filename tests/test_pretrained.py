"""The trained generator that comes along: it is the one that its page describes, and makes music rather than noise."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]
GENERATORS = [ROOT / "pretrained" / name for name in ("demo", "demo_one_pass")]
each = pytest.mark.parametrize("folder", GENERATORS, ids=lambda folder: folder.name)
CLIPS, LENGTH = 64, 4 * 24_000


@each
def test_the_files_are_those_that_the_page_describes(folder):
    page = (folder / "README.md").read_text(encoding="utf-8")
    digests = dict(re.findall(r"\| `([\w.]+)` \| [\d.]+ [kM]B \| `([0-9a-f]{64})` \|", page))
    assert digests.keys() == {"generator.safetensors", "config.json"}
    for name, digest in digests.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert (folder / "generator.safetensors").stat().st_size < 8_000_000


@pytest.mark.e2e
@each
def test_it_makes_wav_files_within_seconds(folder, tmp_path):
    call = [sys.executable, "generate.py", "--checkpoint", str(folder), "--num", "2", "--duration", "3"]
    subprocess.run([*call, "--output_dir", str(tmp_path)], cwd=ROOT, check=True, timeout=120)
    for path in sorted(tmp_path.glob("*.wav")):
        wav, rate = soundfile.read(path)
        assert rate == 24_000 and len(wav) == 72_000
        assert 0.01 < np.sqrt(np.mean(wav**2)) < 0.5 and np.abs(wav).max() < 1.0
    assert len(list(tmp_path.glob("*.wav"))) == 2


@pytest.fixture(scope="module")
def ruler():
    """Scores sets of clips [B, N]; and the scores of the Gaussian."""
    from audio_codecs.mel import MelCodec
    from evaluation.scorer import Scorer
    from kinds.audio.features import describe
    from kinds.audio.preparing.demo_music import demo_song
    from kinds.audio.rungs import make_rung

    def songs(first: int) -> np.ndarray:
        """Two clips of each of 32 songs that no run has seen."""
        wavs = [demo_song(seed, 2 * LENGTH / 24_000)[: 2 * LENGTH] for seed in range(first, first + CLIPS // 2)]
        return np.concatenate([wav.reshape(2, LENGTH) for wav in wavs]).astype(np.float32)

    reference, others = songs(90_000), songs(91_000)
    scorer = Scorer(describe(reference).features_NF, describe(others).features_NF)

    def score(clips_BN: np.ndarray) -> dict:
        return scorer.score(describe(clips_BN), rounds=10)

    return score, score(make_rung("gaussian", others, MelCodec(), 0, "cpu"))


@pytest.mark.timeout(600)
@each
def test_it_beats_the_moment_matched_gaussian_on_every_figure(folder, ruler):
    from audio_codecs.mel import MelCodec
    from kinds.audio.files import peak_scale
    from kinds.audio.render import generate_from_noise
    from synthesis.loading import load_generator

    score, gaussian = ruler
    clips = generate_from_noise(load_generator(folder), MelCodec(), CLIPS, 4.0, seed=0)
    ours = score(np.stack([clip * np.float32(peak_scale(clip)) for clip in clips]))  # as generate.py writes them
    value = {name: (ours[name]["value"], gaussian[name]["value"]) for name in ours}
    for name in ("frechet", "kernel"):
        assert value[name][0] < value[name][1], name
    for name in ("density", "coverage"):
        assert value[name][0] > value[name][1], name
    for name in ("diversity", "nearest_train"):  # real music has 1
        assert abs(value[name][0] - 1) < abs(value[name][1] - 1), name
    assert ours["silent"]["value"] == ours["clipped"]["value"] == 0
