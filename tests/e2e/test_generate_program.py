"""generate.py from command line to wav files, with a tiny generator; wrong input gives one sentence."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from one_thread import one_thread  # noqa: F401 (a fixture for every test here)

import generate
from audio_codecs import codec_identity
from config import make_config
from kinds.audio.files import write_wav
from synthesis.loading import export_generator
from synthesis.space import Space
from training.builder import build_networks


def export(folder: Path, **more) -> Path:
    """A tiny, untrained generator."""
    tiny = {"generator": "patch", "width": 16, "nhead": 1, "num_layers": 1, "num_transformer_layers": 1, "dropout": 0.0}
    config = make_config(tiny | more)
    space = Space(
        kind="audio",
        identity=codec_identity("mel"),
        shape=(128, 30),
        rate=75,
        mean_D=torch.full((128,), -4.0),
        std_D=torch.full((128,), 2.0),
        noise_scales_K2=torch.ones(3, 2),
        about={"codec": "mel", "sample_rate": 24_000},
    )
    folder.mkdir(exist_ok=True)
    export_generator(folder, config, build_networks(config)[0].state_dict(), space, "epoch 1, step 1")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return export(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "song.wav"
    write_wav(path, 0.1 * np.random.default_rng(0).standard_normal(24000).astype(np.float32))
    return path


def made(exported, folder, *options) -> dict[str, np.ndarray]:
    assert generate.main(["--checkpoint", str(exported), "--output_dir", str(folder), *map(str, options)]) == 0
    return {path.stem: soundfile.read(path)[0] for path in sorted(folder.glob("*.wav"))}


def test_clips_are_functions_of_seed_and_number(exported, tmp_path, capsys):
    three = made(exported, tmp_path / "a", "--num", 3, "--duration", 0.7, "--seed", 4)
    two = made(exported, tmp_path / "b", "--num", 2, "--duration", 0.7, "--seed", 4, "--batch", 1)
    assert list(three) == [f"noise_4_{k:04d}" for k in range(3)]
    assert all(len(wav) == round(0.7 * 24000) for wav in three.values())
    assert all((two[name] == three[name]).all() for name in two)
    assert (three["noise_4_0000"] != three["noise_4_0001"]).any()
    assert "times real time" in capsys.readouterr().out


def test_interpolation_begins_and_ends_at_plain_clips(exported, tmp_path):
    way = made(exported, tmp_path / "way", "--seed", 1, "--interpolate", 2, "--steps", 3, "--duration", 0.5)
    for seed, name in ((1, "interpolate_1_2_0000"), (2, "interpolate_1_2_0002")):
        plain = made(exported, tmp_path / str(seed), "--seed", seed, "--num", 1, "--duration", 0.5)
        assert (plain[f"noise_{seed}_0000"] == way[name]).all()
    assert (way["interpolate_1_2_0001"] != way["interpolate_1_2_0000"]).any()


def test_variations_of_no_strength_are_the_clip(exported, tmp_path):
    (plain,) = made(exported, tmp_path / "plain", "--num", 1, "--duration", 0.5).values()
    same = made(exported, tmp_path / "same", "--variations", 2, "--variation_strength", 0, "--duration", 0.5)
    other = made(exported, tmp_path / "other", "--variations", 2, "--duration", 0.5)
    assert len(same) == len(other) == 2
    assert all((wav == plain).all() for wav in same.values())
    assert all((wav != plain).any() for wav in other.values())


def test_music_with_partial_noise_in_some_channels(exported, recording, tmp_path):
    music = ("--input_audio", recording)
    clean = made(exported, tmp_path / "clean", *music)
    half = made(exported, tmp_path / "half", *music, "--noise_fraction", 0.5, "--noise_channels", "0:64", "--num", 2)
    assert [len(wav) for wav in (*clean.values(), *half.values())] == [24000] * 3
    first, second = half.values()
    assert (first != second).any() and (first != clean["song_noise_0_0000"]).any()


def test_longer_than_training_and_pictures(exported, tmp_path):
    (wav,) = made(exported, tmp_path, "--num", 1, "--duration", 30, "--spectrogram").values()
    assert len(wav) == 30 * 24000 and np.isfinite(wav).all() and wav.std() > 0
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_passes_are_the_recipes_unless_given(recording, tmp_path):
    exported = export(tmp_path, unity_test=True, easy_share=1.0, passes=3)
    sources = {"noise": ("--num", 1, "--duration", 0.7)}  # longer than a training clip: in windows
    sources["music"] = ("--input_audio", recording, "--noise_fraction", 0.5, "--noise_channels", "0:64")
    for name, options in sources.items():
        plain, three, one = (
            next(iter(made(exported, tmp_path / f"{name}_{k}", *options, *passes).values()))
            for k, passes in enumerate(((), ("--passes", 3), ("--passes", 1)))
        )
        assert (plain == three).all() and (plain != one).any()


def test_noise_goes_into_the_channels_of_training(recording, tmp_path, capsys):
    partial = export(tmp_path / "partial", pure_gan_mode=0.1, noise_channels="0:64")
    music = ("--input_audio", recording, "--noise_fraction", 0.5)
    (plain,), (same,), (other,) = (
        made(partial, tmp_path / str(k), *music, *more).values()
        for k, more in enumerate(((), ("--noise_channels", "0:64"), ("--noise_channels", "0:128")))
    )
    assert (plain == same).all() and (plain != other).any()
    assert generate.main(["--checkpoint", str(partial), "--output_dir", str(tmp_path / "none"), "--num", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "noise in channels 0:64 only" in error and "--input_audio" in error


def test_two_recordings_are_refused_where_training_had_one(exported, recording, tmp_path, capsys):
    """With unity_test the generator would take their difference for noise; after training on pairs it is in place."""
    other = tmp_path / "other.wav"
    write_wav(other, 0.1 * np.random.default_rng(1).standard_normal(24000).astype(np.float32))
    unity = export(tmp_path / "unity", unity_test=True)
    both = ("--input_audio", recording, "--target_audio", other)
    assert generate.main(["--checkpoint", str(unity), "--output_dir", str(tmp_path), *map(str, both)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "unity_test" in error and "leave --target_audio out" in error
    (one,) = made(unity, tmp_path / "one", "--input_audio", recording).values()
    (twice,) = made(unity, tmp_path / "twice", "--input_audio", recording, "--target_audio", recording).values()
    (pair,), (alone,) = (made(exported, tmp_path / f"{len(x)}", *x).values() for x in (both, both[:2]))
    assert (one == twice).all() and len(one) == len(pair) == 24000 and (pair != alone).any()


WRONG = {
    "--num 0": "--num 0",
    "--num many": "--num",
    "--duration nan": "--duration nan",
    "--duration 0": "--duration 0",
    "--passes 0": "--passes 0",
    "--passes 4": "easy_share",
    "--temperature nan": "--temperature nan",
    "--temperature -1": "--temperature -1",
    "--tempo 3": "--tempo",
    "--noise_fraction 0.5": "--input_audio",
    "--noise_channels 0:64": "--input_audio",
    "--target_audio x.wav": "--input_audio",
    "--steps 3": "--interpolate",
    "--interpolate 3 --steps 1": "--steps 1",
    "--interpolate 3 --num 2": "exclude",
    "--variation_strength 0.1": "--variations",
    "--variations 2 --variation_strength 1.1": "--variation_strength 1.1",
    "--input_audio missing.wav": "missing.wav",
    "--input_audio {song} --noise_fraction 1.5": "--noise_fraction 1.5",
    "--input_audio {song} --noise_fraction nan": "--noise_fraction nan",
    "--input_audio {song} --noise_channels 0:64": "--noise_fraction",
    "--input_audio {song} --noise_fraction 1 --noise_channels 64:0": "64:0",
    "--input_audio {song} --noise_fraction 1 --noise_channels 0:64:2": "0:64:2",
    "--input_audio {song} --noise_fraction 1 --noise_channels 0:129": "128 channels",
    "--input_audio {song} --num 3": "--noise_fraction",
    "--input_audio {song} --duration 3": "exclude",
    "--input_audio {text}": "not audio",
    "--device warp": "--device warp",
    "--checkpoint missing.pt": "missing.pt",
    "--checkpoint {empty}": "last.pt",
    "--checkpoint {text}": "README",
    "--output_dir {text}/below": "--output_dir",
    "--codec_weights x.bin": "--codec_weights",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_input_is_told_in_one_sentence(exported, recording, tmp_path, capsys, options):
    text, empty = tmp_path / "README.md", tmp_path / "empty"
    text.write_text("no audio, no checkpoint, no folder")
    empty.mkdir()
    given = options.format(song=recording, text=text, empty=empty).split()
    base = ["--checkpoint", str(exported), "--output_dir", str(tmp_path / "out")]
    assert generate.main(base + given) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and WRONG[options] in error, error
    assert not list(tmp_path.glob("out/*.wav"))


def test_broken_weights_are_told(exported, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    tensors = load_file(exported / "generator.safetensors")
    name = next(name for name in tensors if name.endswith("embed.weight"))
    tensors[name][0, 0] = float("nan")
    save_file(tensors, tmp_path / "generator.safetensors")
    (tmp_path / "config.json").write_text((exported / "config.json").read_text())
    assert generate.main(["--checkpoint", str(tmp_path), "--output_dir", str(tmp_path / "out")]) == 2
    assert "NaN" in capsys.readouterr().err


def test_noise_too_hot_to_hear_is_reported(exported, tmp_path, capsys, monkeypatch):
    from synthesis.sources import Sources

    monkeypatch.setattr(Sources, "from_noise", lambda *_: (torch.full((1, 128, 30), torch.inf),) * 2)
    options = ["--checkpoint", str(exported), "--output_dir", str(tmp_path), "--num", "1", "--duration", "0.4"]
    assert generate.main(options) == 2
    assert "NaN or infinite" in capsys.readouterr().err


def test_wrong_options_are_reported_before_torch_is_loaded():
    import subprocess

    code = "import sys, generate as g; assert g.main(['--num=0', '--checkpoint=x']) == 2 and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(generate.__file__).parent, capture_output=True)


def test_files_of_other_settings_stay(exported, tmp_path, capsys):
    first = made(exported, tmp_path, "--num", 2, "--duration", 0.5)
    assert made(exported, tmp_path, "--num", 2, "--duration", 0.5).keys() == first.keys()  # the same again
    assert "of other settings" not in capsys.readouterr().out
    both = made(exported, tmp_path, "--num", 2, "--duration", 0.6)
    assert sorted(both) == ["noise_0_0000", "noise_0_0000-2", "noise_0_0001", "noise_0_0001-2"]
    assert all((both[name] == first[name]).all() for name in first)
    assert "2 of them have a number behind their names" in capsys.readouterr().out


def test_a_recording_with_a_long_name_gives_files_with_shorter_ones(exported, recording, tmp_path):
    stems = ["ä" * 120 + end for end in ("a", "b")]
    for stem in stems:
        (tmp_path / f"{stem}.wav").write_bytes(recording.read_bytes())
        options = ["--input_audio", tmp_path / f"{stem}.wav", "--spectrogram", "--noise_fraction", 0.2]
        made(exported, tmp_path / "out", *options)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.wav"))
    assert len(names) == 2 and all(name.startswith("ä" * 70) for name in names)


def test_a_damaged_recording_is_said_to_be_so(exported, recording, tmp_path, capsys):
    data = recording.read_bytes()
    (tmp_path / "line\nbreak.wav").write_bytes(data[: len(data) // 2])
    made(exported, tmp_path / "out", "--input_audio", tmp_path / "line\nbreak.wav")
    assert r"line\nbreak.wav: it ends 0.5 s before its header says" in capsys.readouterr().out
