"""What the listening page shows, without a browser: the newest save, clips and command lines, limits."""

import os
import shlex
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from tiny_exports import STEPS, tiny_export

import generate
from errors import UserError
from kinds.audio.files import write_wav
from kinds.audio.listening import LONGEST_S, LONGEST_UPLOAD_S, MOST_CLIPS, Listener, label_request, newest_save, whole
from kinds.audio.request import Request
from runtime import checkpoint
from synthesis.loading import load_generator


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return tiny_export(tmp_path_factory.mktemp("tiny") / "export", **STEPS)


def save(export, path, step: int) -> None:
    """A checkpoint of that step, its weights scaled by the step, as training writes it."""
    loaded = load_generator(export)
    weights = {name: value * (1 + step / 100) for name, value in loaded.network.state_dict().items()}
    counters = {"samples_seen": step, "finished_epochs": 1, "step": step}
    state = {"config": checkpoint.plain(loaded.config.flat()), "space": loaded.space.state_dict(), "ema": weights}
    checkpoint.save(state | {"counters": counters}, path)


@pytest.fixture
def run(export, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    save(export, folder / "checkpoint_epoch_1.pt", 3)
    save(export, folder / "last.pt", 5)
    return folder


@pytest.fixture
def listener(run, tmp_path):
    (tmp_path / "made").mkdir()
    return Listener(run, str(run), tmp_path / "made")


def test_the_newest_save_is_the_furthest_intact_one(export, run, tmp_path):
    assert newest_save(run) == run / "last.pt" and newest_save(run / "last.pt") == run / "last.pt"
    data = (run / "last.pt").read_bytes()
    (run / "last.pt").write_bytes(data[:-100] + b"x" * 100)
    assert newest_save(run) == run / "checkpoint_epoch_1.pt"
    for name in ("generator.safetensors", "config.json"):
        (run / name).write_bytes((export / name).read_bytes())
    assert newest_save(run) == run / "generator.safetensors"
    save(export, run / "last.pt", 9)  # the run was resumed after its end
    os.utime(run / "last.pt", ns=(1 << 62, 1 << 62))
    assert newest_save(run) == run / "last.pt"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no usable save yet"):
        newest_save(tmp_path / "empty")


def test_a_further_save_is_read_and_a_broken_one_is_not(export, run, listener):
    assert "step 5" in listener.music().trained_to
    same = listener.music()
    assert listener.music() is same
    save(export, run / "last.pt", 7)
    assert "step 7" in listener.music().trained_to
    for path in run.glob("*.pt"):
        path.write_bytes(b"half a save")
    assert "step 7" in listener.music().trained_to


def test_clips_and_the_command_line_that_makes_the_same(run, listener, tmp_path):
    request = Request(seed=3, num=2, duration=0.5, temperature=0.9, passes=2)
    shown, message, command = listener.make(request)
    assert [one.title for one in shown] == ["clip 1", "clip 2"] and "step 5" in message
    assert generate.main([*shlex.split(command)[2:], "--output_dir", str(tmp_path / "out")]) == 0
    for one in shown:
        wav = soundfile.read(one.wav)[0]
        assert (wav == soundfile.read(tmp_path / "out" / one.wav.name)[0]).all() and wav.std() > 0
        assert one.picture.read_bytes().startswith(b"\x89PNG")


def test_fields_that_are_empty_or_as_usual_are_not_in_the_command_line(listener):
    assert label_request(["genre", "tempo", "mode"], ["jazz", "", None]) == ("genre=jazz",)
    request = whole(Request(seed=1, num=1, duration=10.0, guidance=2.0, passes=3, temperature=1.0))
    assert request == Request(seed=1, num=1, guidance=2.0, passes=3)
    _, _, command = listener.make(replace(request, duration=0.3))
    assert command.split("last.pt ")[1] == "--seed 1 --num 1 --duration 0.3 --spectrogram"


def test_music_of_an_upload_is_named_without_its_place(listener, tmp_path):
    upload = tmp_path / "song of mine.wav"
    write_wav(upload, 0.1 * np.random.default_rng(0).standard_normal(24000).astype(np.float32))
    shown, _, command = listener.make(Request(input_audio=str(upload), noise_fraction=0.4))
    assert len(shown) == 1 and soundfile.info(shown[0].wav).frames == 24_000
    assert "--input_audio 'song of mine.wav' --noise_fraction 0.4" in command and str(tmp_path / "song") not in command


def test_what_cannot_be_made_is_one_sentence(listener, tmp_path):
    text, long, silent = tmp_path / "notes.txt", tmp_path / "long.wav", tmp_path / "empty.wav"
    text.write_text("no audio")
    soundfile.write(long, np.zeros(int((LONGEST_UPLOAD_S + 1) * 8000), np.float32), 8000)
    silent.write_bytes(b"")
    cases = {
        "notes.txt: not audio": Request(input_audio=str(text)),
        "long.wav: 601 s are too long": Request(input_audio=str(long)),
        "empty.wav": Request(input_audio=str(silent)),
        "clips are too many": Request(num=MOST_CLIPS + 1),
        "s are too long": Request(duration=LONGEST_S + 1),
        "trained without labels": Request(label=("genre=jazz",)),
        "--temperature": Request(temperature=-1.0),
    }
    for message, request in cases.items():
        with pytest.raises(UserError) as caught:
            listener.make(request)
        said = str(caught.value)
        assert message in said and "\n" not in said and str(tmp_path) not in said


def test_samples_of_an_epoch_beside_real_music(run, listener):
    with pytest.raises(UserError, match="no samples"):
        listener.samples(None)
    (run / "samples").mkdir()
    for stem in ("epoch_0002_0", "epoch_0010_0", "real_0", "round_trip_0"):
        write_wav(run / "samples" / f"{stem}.wav", np.full(100, len(stem) / 100, np.float32))
        (run / "samples" / f"{stem}.png").write_bytes(b"\x89PNG")
    write_wav(run / "samples" / "epoch_0011_0.wav", np.zeros(9, np.float32))  # its picture is not written yet
    assert listener.epochs() == [2, 10, 11]
    shown = listener.samples(2)
    assert [one.title for one in shown] == ["epoch 2", "real", "real, through the codec"]
    assert shown[0].wav.read_bytes() == (run / "samples" / "epoch_0002_0.wav").read_bytes()
    assert [one.title for one in listener.samples(9)][0] == "epoch 10"


def test_old_files_go(listener, monkeypatch):
    monkeypatch.setattr("kinds.audio.listening.KEPT_FILES", 3)
    first, *_ = listener.make(Request(num=1, duration=0.3))[0]
    second, *_ = listener.make(Request(num=1, duration=0.3, seed=1))[0]
    assert not first.wav.exists() and second.wav.exists() and second.picture.exists()
