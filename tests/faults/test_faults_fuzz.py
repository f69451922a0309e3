"""Readers of files from strangers: success or one sentence, never a traceback, never a hang, nothing executed."""

import io
import wave

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import UserError
from kinds.audio.errors import AudioError
from kinds.audio.files import read_audio, read_recording
from kinds.audio.pairs import MANIFEST_NAME, read_manifest
from runtime import checkpoint
from runtime.run_folder import furthest_good, progress_of

FUZZ = settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])


def one_sentence(error: Exception) -> bool:
    return "\n" not in str(error) and len(str(error)) > 10


@pytest.fixture(scope="module")
def good_checkpoint() -> bytes:
    import torch

    counters = {"samples_seen": 3, "finished_epochs": 0, "step": 1}
    return checkpoint.serialise(
        {"counters": counters, "trainer": {"generator": {"w": torch.arange(6.0)}, "skipped": torch.zeros(4)}}
    )


@FUZZ
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8), cut=st.integers(0, 10**6),
       reseal=st.booleans())  # fmt: skip
def test_checkpoints(tmp_path, good_checkpoint, edits, cut, reseal):
    import hashlib

    body = bytearray(good_checkpoint[:-40])
    for place, value in edits:
        body[place % len(body)] = value
    body = body[: cut % (len(body) + 1)] if cut % 3 == 0 else body
    data = bytes(body) + (b"N2MUSIC1" + hashlib.sha256(body).digest() if reseal else good_checkpoint[-40:])
    path = tmp_path / "fuzzed.pt"
    path.write_bytes(data)
    assert len(progress_of(checkpoint.peek(path))) == 3
    try:
        state = checkpoint.load(path)
        assert reseal or data == good_checkpoint
        assert isinstance(state, dict)
    except UserError as error:
        assert one_sentence(error)
    messages = []
    furthest_good(tmp_path, messages.append)
    assert all("\n" not in line for line in messages)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("../../etc/passwd"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@FUZZ
@given(changes=st.dictionaries(st.sampled_from(["format", "codec", "sample_rate", "clip_samples", "seed", "x"]),
                               VALUES, max_size=4), raw=st.none() | st.binary(max_size=200))  # fmt: skip
def test_dataset_descriptions(tmp_path, dataset, changes, raw):
    described = yaml.safe_load((dataset / MANIFEST_NAME).read_text())
    text = yaml.safe_dump(described | changes, allow_unicode=True).encode() if raw is None else raw
    (tmp_path / MANIFEST_NAME).write_bytes(text)
    try:
        read_manifest(tmp_path)
    except UserError as error:
        assert one_sentence(error)


def test_a_description_cannot_execute(tmp_path):
    (tmp_path / MANIFEST_NAME).write_text(f"codec: !!python/object/apply:os.mkdir ['{tmp_path / 'sprung'}']\n")
    with pytest.raises(UserError):
        read_manifest(tmp_path)
    assert not (tmp_path / "sprung").exists()


def wav_bytes() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes((np.sin(np.arange(2400) / 7) * 9000).astype("<i2").tobytes())
    return buffer.getvalue()


@FUZZ
@given(edits=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=8), keep=st.integers(0, 5000),
       raw=st.none() | st.binary(max_size=300))  # fmt: skip
def test_wav_files(tmp_path, edits, keep, raw):
    data = bytearray(wav_bytes())
    for place, value in edits:
        data[place] = value
    path = tmp_path / "fuzzed.wav"
    path.write_bytes(bytes(data[:keep]) if raw is None else raw)
    try:
        wav = read_audio(path, 24_000)
        assert wav.dtype == np.float32 and wav.ndim == 1 and np.isfinite(wav).all()
    except AudioError as error:
        assert one_sentence(error)


FORMATS = {"MP3": "mp3", "OGG": "ogg", "FLAC": "flac", "AIFF": "aiff"}


@pytest.fixture(scope="module")
def recordings() -> dict[str, bytes]:
    import soundfile

    wav, found = 0.3 * np.sin(np.arange(48_000) / 7), {}
    for kind in FORMATS:
        buffer = io.BytesIO()
        soundfile.write(buffer, wav, 24_000, format=kind)
        found[kind] = buffer.getvalue()
    return found


@settings(FUZZ, max_examples=400)
@given(kind=st.sampled_from(sorted(FORMATS)), edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=40)),
       max_size=4), cut=st.none() | st.integers(0, 10**6), twice=st.booleans())  # fmt: skip
def test_damaged_and_joined_recordings(tmp_path, recordings, kind, edits, cut, twice):
    data = bytearray(recordings[kind] * (1 + twice))
    for place, garbage in edits:
        place %= len(data)
        data[place : place + len(garbage)] = garbage
    path = tmp_path / f"fuzzed.{FORMATS[kind]}"
    path.write_bytes(data if cut is None else data[: cut % (len(data) + 1)])
    try:
        recording = read_recording(path, 24_000)
        assert np.isfinite(recording.wav).all() and len(recording.wav) <= 24_000 * 8
        assert all(one_sentence(remark) for remark in map(str, recording.remarks))
    except AudioError as error:
        assert one_sentence(error)
