"""Music from Python: the same clips as generate.py's, asked for by the same options."""

import shlex

import numpy as np
import pytest
import soundfile
import torch
from tiny_exports import LABELS, LEARNED, ROWS, STEPS, tiny_export

import generate
from errors import UserError
from kinds.audio.files import write_wav
from kinds.audio.request import Request, labels_given, request_of
from noise2music import load
from runtime.seeding import Purpose, mix_seed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_export(tmp_path_factory.mktemp("tiny") / "labelled", labels=True, **STEPS)


@pytest.fixture(scope="module")
def music(folder):
    return load(folder)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("audio") / "song.wav"
    write_wav(path, 0.1 * np.random.default_rng(0).standard_normal(24000).astype(np.float32))
    return str(path)


def by_program(tmp_path, command: str) -> list[np.ndarray]:
    words = [*shlex.split(command)[2:], "--output_dir", str(tmp_path / "out")]
    assert generate.main(words) == 0
    return [soundfile.read(path)[0] for path in sorted((tmp_path / "out").glob("*.wav"))]


def test_three_lines(music, folder, tmp_path):
    path = music.generate(seconds=0.9, seed=4, label={"genre": "jazz"}).save(tmp_path / "clip.wav")
    (wav,) = by_program(tmp_path, f"python generate.py --checkpoint {folder} --num 1 --duration 0.9 --seed 4 "
                                  "--label genre=jazz")  # fmt: skip
    mine, rate = soundfile.read(path)
    assert rate == music.sample_rate == 24000 and len(mine) == round(0.9 * 24000)
    assert (mine == wav).all() and mine.std() > 0


REQUESTS = {
    "clips": {"num": 2, "duration": 0.5, "temperature": 0.9},
    "interpolation": {"seed": 3, "interpolate": 5, "steps": 3, "duration": 0.5},
    "variations": {"variations": 2, "variation_strength": 0.4, "duration": 0.5},
    "labels": {"num": 1, "label": ("genre=folk", "tempo=90"), "guidance": 2.5, "passes": 2, "duration": 0.5},
    "no labels": {"num": 2, "label": ("none",), "duration": 0.5},
    "guidance alone": {"num": 2, "guidance": 3.0, "duration": 0.5},
    "music": {"input_audio": "RECORDING", "noise_fraction": 0.3, "noise_channels": "0:64", "num": 2},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_command_line_of_a_request_makes_its_clips(music, folder, recording, tmp_path, name):
    options = {key: recording if value == "RECORDING" else value for key, value in REQUESTS[name].items()}
    request = Request(**options)
    command = request.command(str(folder))
    assert request_of(vars(generate._parser().parse_args(shlex.split(command)[2:]))) == request
    clips, files = list(music.clips(request)), by_program(tmp_path, command)
    assert len(clips) == len(files) == len(request.draws()) > 0
    for k, (clip, wav) in enumerate(zip(clips, files, strict=True)):
        assert (soundfile.read(clip.save(tmp_path / f"{k}.wav"))[0] == wav).all()


def test_labels_change_what_is_made_and_threads_are_left_as_they_were(music):
    torch.set_num_threads(2)
    try:
        free, folk, jazz = (music.generate(0.5, label=label) for label in ("none", "genre=folk", {"genre": "jazz"}))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert (folk.wav_N != jazz.wav_N).any() and (free.wav_N != jazz.wav_N).any()
    assert music.labels == LABELS and music.trained_to == "epoch 1, step 1"


def in_words(k: int) -> dict:
    """The labels of training sample k as a user writes them."""
    genre, tempo = (ROWS[name][k] for name in LABELS)
    words = {} if genre is None else {"genre": LABELS["genre"]["values"][int(genre)]}
    return words if tempo is None else words | {"tempo": tempo}


@pytest.mark.parametrize(("passes", "usual"), [(1, 1.5), (2, 2.0)])
def test_labels_are_emphasised_less_in_one_step(music, passes, usual):
    some, same, other = (
        music.generate(0.4, 1, "genre=jazz", passes=passes, **given).wav_N
        for given in ({}, {"guidance": usual}, {"guidance": 3.5 - usual})
    )
    assert (some == same).all() and (some != other).any()


@pytest.mark.parametrize("passes", [1, 2])
def test_guidance_that_was_learned_is_not_given_again(tmp_path, passes):
    music = load(tiny_export(tmp_path / "tiny", labels=True, **LEARNED))
    some, same, other = (
        music.generate(0.4, 1, "genre=jazz", passes=passes, **given).wav_N
        for given in ({}, {"guidance": 1.0}, {"guidance": 1.5})
    )
    assert (some == same).all() and (some != other).any()


@pytest.mark.parametrize("seed", range(6))
def test_labels_that_are_not_asked_for_are_those_of_a_training_sample(music, seed):
    k = mix_seed(seed, Purpose.SCALES, 0) % 7
    drawn, asked = music.generate(0.4, seed), music.generate(0.4, seed, ["none", *labels_given(in_words(k))])
    assert (drawn.wav_N == asked.wav_N).all()
    assert (drawn.wav_N != music.generate(0.4, seed, "none").wav_N).any()


def test_what_is_drawn_agrees_with_what_is_asked_for(music):
    jazz = [k for k in range(7) if ROWS["genre"][k] == 1.0]
    for seed in range(4):
        k = jazz[mix_seed(seed, Purpose.SCALES, 0) % len(jazz)]
        same = ["none", *labels_given(in_words(k))]
        assert (music.generate(0.4, seed, "genre=jazz").wav_N == music.generate(0.4, seed, same).wav_N).all()


def test_the_ends_of_an_interpolation_are_clips_of_their_seeds(music):
    clips = list(music.clips(Request(seed=1, interpolate=3, steps=4, duration=0.4)))
    for clip, seed in ((clips[0], 1), (clips[-1], 3)):
        np.testing.assert_allclose(clip.wav_N, music.generate(0.4, seed).wav_N, atol=1e-5)


@pytest.mark.parametrize("given", [{"guidance": 2.0}, {"label": "none"}, {"label": "genre=jazz"}])
def test_a_generator_without_labels_takes_neither_labels_nor_guidance(tmp_path, given):
    with pytest.raises(UserError, match="has no effect: this generator was trained without labels"):
        load(tiny_export(tmp_path / "plain", **STEPS)).generate(0.4, **given)


def test_nothing_is_drawn_for_music(music, recording):
    free, none = (
        music.generate(input_audio=recording, noise_fraction=0.2, label=label).wav_N for label in (None, "none")
    )
    assert (free == none).all()


def test_labels_may_be_given_in_three_ways():
    assert labels_given({"genre": "jazz", "tempo": 120}) == ("genre=jazz", "tempo=120")
    assert labels_given("genre=jazz") == labels_given(["genre=jazz"]) == ("genre=jazz",)
    assert labels_given(None) == ()


def test_music_to_music_is_as_long_as_the_recording(music, recording):
    clip = music.generate(input_audio=recording, noise_fraction=0.2)
    assert clip.seconds == 1.0
    assert (clip.wav_N != music.generate(input_audio=recording, noise_fraction=0.2, seed=1).wav_N).any()


def test_a_picture_is_written_too(music, tmp_path):
    path = music.generate(0.4).save_spectrogram(tmp_path / "clip.png", "a clip")
    assert path.read_bytes().startswith(b"\x89PNG")


WRONG = {
    "--duration 0": {"seconds": 0},
    "--temperature -1": {"temperature": -1},
    "There is no label 'colour'": {"label": "colour=red"},
    "--noise_fraction needs --input_audio": {"noise_fraction": 0.3},
    "nowhere.wav": {"input_audio": "nowhere.wav"},
    "--guidance needs --label": {"guidance": 2.0, "label": "none"},
    "exclude": {"interpolate": 2, "variations": 3},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_wishes_are_one_sentence(music, message):
    with pytest.raises(UserError) as caught:
        music.generate(**WRONG[message])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_does_not_exist_is_said(music, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="tempo"):
        music.generate(tempo=3)
    with pytest.raises(UserError, match="cannot write"):
        music.generate(0.3).save(tmp_path / "no" / "folder" / "clip.wav")
