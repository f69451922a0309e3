"""evaluate.py on folders of files: crops, the table, the JSON, and errors in one sentence."""

import json
import os
import shutil

import numpy as np
import pytest
from tiny_exports import STEPS, tiny_export

import evaluate
from audio_codecs.mel import MelCodec
from errors import UserError
from evaluation import ladder
from kinds.audio.evaluated import generated, open_sources
from kinds.audio.files import read_audio, write_wav
from synthesis.generation import Wish

SAMPLE_RATE = 24000


def plucked(seed, seconds):
    """A tune of decaying tones: music enough to differ from noise."""
    rng = np.random.default_rng(seed)
    wav = 1e-3 * rng.standard_normal(int(seconds * SAMPLE_RATE))
    for start in np.arange(0, seconds - 0.5, 0.25):
        at, time = int(start * SAMPLE_RATE), np.arange(12000) / SAMPLE_RATE
        hz = 220 * 2 ** (rng.choice([0, 2, 4, 7, 9, 12]) / 12)
        wav[at : at + 12000] += rng.uniform(0.05, 0.2) * np.exp(-8 * time) * np.sin(2 * np.pi * hz * time)
    return wav.astype(np.float32)


def write_songs(folder, seeds, seconds):
    folder.mkdir(parents=True)
    for seed in seeds:
        write_wav(folder / f"{seed}.wav", plucked(seed, seconds), SAMPLE_RATE)
    return folder


def arguments(*options):
    args = evaluate._parser().parse_args([str(option) for option in options])
    evaluate._settle(args)
    return args


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("music")
    write_songs(root / "val", range(4), 9.0)
    write_songs(root / "train", range(10, 14), 9.0)
    write_songs(root / "good", range(20, 36), 2.5)
    (root / "hiss").mkdir()
    for seed in range(16):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(3 * SAMPLE_RATE)
        write_wav(root / "hiss" / f"{seed}.wav", noise.astype(np.float32), SAMPLE_RATE)
    return root


def test_two_folders_are_measured_beside_one_ladder(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("audio_codecs.open_codec", lambda *_: MelCodec(rounds=4))
    generated = [str(folders / name) for name in ("good", "hiss")]
    options = ["--dataset_folder", str(folders), "--duration", "2", "--num", "16", "--rounds", "10"]
    assert evaluate.main(["--generated", *generated, *options, "--json", str(tmp_path / "out.json")]) == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert list(report["sets"]) == ["good", "hiss", *ladder.RUNGS]
    assert report["clips"] == 16 and report["clip_seconds"] == 2 and report["seed"] == 0
    assert report["command"].startswith("python evaluate.py --generated") and report["codec"].startswith("mel-")
    assert report["torch"] and report["device"]
    good, hiss = report["sets"]["good"], report["sets"]["hiss"]
    assert good["frechet"]["value"] < hiss["frechet"]["value"]
    assert good["gap_closed"]["value"] > 0.5 > hiss["gap_closed"]["value"]
    assert hiss["frechet"]["value"] == pytest.approx(report["sets"]["white_noise"]["frechet"]["value"], rel=0.2)
    assert report["sets"]["floor"]["nearest_train"]["value"] == 0 < good["nearest_train"]["value"]
    shown = capsys.readouterr().out
    for text in ("16 clips of 2 s in every set", "gap closed", "good", "white_noise", "within this table only"):
        assert text in shown


def test_names_that_look_like_markup_are_shown_as_they_are(folders, tmp_path, capsys, monkeypatch):
    """spotDL/spotify-downloader 1738, mandiant/flare-floss 789: rich takes brackets in names for markup."""
    monkeypatch.setattr("audio_codecs.open_codec", lambda *_: MelCodec(rounds=4))
    odd = tmp_path / "[live] [bold] :bell:"
    shutil.copytree(folders / "good", odd)
    (odd / "takes [").mkdir()
    (odd / "takes [" / "red] :cat:.wav").write_bytes(b"")
    options = ["--dataset_folder", str(folders), "--duration", "2", "--num", "16", "--rounds", "10"]
    assert evaluate.main(["--generated", str(odd), *options, "--rulers", "clips"]) == 0
    shown = capsys.readouterr().out
    assert odd.name in shown and "takes [/red] :cat:.wav" in shown


def test_generators_with_labels_are_asked_for_them(tmp_path):
    with_labels, without = (str(tiny_export(tmp_path / f"{k}", labels=not k, **STEPS)) for k in range(2))
    drawn, plain = open_sources(arguments("--checkpoint", with_labels, without))
    assert drawn.wish == Wish({}, 2.0, True) and plain.wish.labels == {}
    asked, plain = open_sources(
        arguments("--checkpoint", with_labels, without, "--label", "genre=jazz", "--label", "none", "--guidance", "3")
    )
    assert asked.wish == Wish({"genre": 1.0}, 3.0, False) and plain.wish.labels == {}
    one, other = (generated(source, 2, 9600, 0) for source in (drawn, asked))
    assert one.shape == other.shape == (2, 9600) and (one != other).any()
    for given in (["--guidance", "2"], ["--label", "genre=jazz"]):
        with pytest.raises(UserError, match="no generator was trained with labels"):
            open_sources(arguments("--checkpoint", without, *given))


def test_images_have_no_labels_to_ask_for(capsys):
    assert evaluate.main(["--kind", "images", "--checkpoint", "nowhere", "--guidance", "2"]) == 2
    assert "--label and --guidance are of audio" in capsys.readouterr().err


def test_without_training_music_the_reference_is_halved(folders):
    args = arguments("--generated", folders / "good", "--reference", folders / "val", "--duration", "2", "--num", "16")
    with pytest.raises(UserError, match=r"too few clips of 2 s \(reference 8, training 8, good 16\)"):
        evaluate.gather(args, evaluate.open_sources(args))
    args.reference = folders
    material = evaluate.gather(args, evaluate.open_sources(args))
    assert args.train is None and any("halved by file" in remark for remark in material.remarks)
    assert not {clip.tobytes() for clip in material.reference_BN} & {clip.tobytes() for clip in material.train_BN}


def test_silent_real_clips_are_left_out_and_evaluated_ones_are_not(folders, tmp_path):
    write_songs(tmp_path / "val", range(50, 54), 9.0)
    write_wav(tmp_path / "val" / "rest.wav", np.zeros(4 * SAMPLE_RATE, np.float32), SAMPLE_RATE)
    args = arguments("--generated", tmp_path / "val", "--reference", tmp_path / "val", "--train", folders / "train")
    args.duration, args.num = 2.0, 18
    material = evaluate.gather(args, evaluate.open_sources(args))
    assert "2 silent reference clips left out" in material.remarks
    assert material.count == len(material.reference_BN) == len(material.evaluated["val"]) == 16
    assert "16 clips per set instead of 18: the smallest set has no more" in material.remarks


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "nothing to evaluate"),
        (["--generated", "{}/nowhere"], "nowhere is not a folder"),
        (["--generated", "{}/empty"], "holds no audio files"),
        (["--generated", "{}/good", "--num", "3"], "--num 3 is not possible"),
        (["--generated", "{}/good", "--num", "many"], "invalid int value"),
        (["--generated", "{}/good", "--duration", "0.5"], "--duration 0.5 is not possible"),
        (["--generated", "{}/good", "--dataset_folder", "{}/none"], "is not a folder"),
        (["--generated", "{}/good", "--reference", "{}/val", "--duration", "2.5"], "too few clips"),
        (["--generated", "{}/good", "--json", "{}/none/out.json"], "its folder does not exist"),
        (["--generated", "{}/good", "--codec", "mp3"], "mp3"),
        (["--checkpoint", "{}/none.pt"], "none.pt"),
        (["--generated", "{}/broken", "--reference", "{}/val"], "a.wav"),
        (["--generate", "x"], "--generate"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_exit_code_2(folders, capsys, given, said):
    (folders / "empty").mkdir(exist_ok=True)
    (folders / "broken").mkdir(exist_ok=True)
    (folders / "broken" / "a.wav").write_text("no music")
    assert evaluate.main([argument.format(folders) for argument in given]) == 2
    stderr = capsys.readouterr().err
    assert said in stderr and stderr.count("\n") == 1


def test_the_same_audio_twice_counts_once(tmp_path):
    for name, seed in (("pair_0000_target", 1), ("pair_0001_input", 1), ("pair_0001_target", 2)):
        write_wav(tmp_path / f"{name}.wav", plucked(seed, 3.0), SAMPLE_RATE)
    assert len(evaluate.read_folder(tmp_path, "--train")) == 2


def test_crops_take_from_as_many_files_as_they_can():
    wavs = [np.full(1000, i, np.float32) for i in range(4)] + [np.zeros(99, np.float32)]
    clips = evaluate.crops(wavs, 100, seed=0, most=4)
    assert sorted(clips[:, 0]) == [0, 1, 2, 3]
    assert evaluate.crops(wavs, 100, seed=0).shape == (40, 100)
    assert evaluate.crops(wavs, 2000, seed=0).shape == (0, 2000)


def test_crops_of_a_file_do_not_overlap():
    clips = evaluate.crops([np.arange(1050, dtype=np.float32)], 100, seed=1)
    assert sorted(clips[:, 0]) == [100 * k for k in range(10)]


def test_the_common_length_is_the_shortest_usable_file():
    second = np.zeros(SAMPLE_RATE, np.float32)
    short, long, broken = np.tile(second, 3), np.tile(second, 8), second
    assert evaluate.common_length(4, [[long]]) == 4 * SAMPLE_RATE
    assert evaluate.common_length(4, [[long, short], [broken]]) == 3 * SAMPLE_RATE


def test_halves_have_no_file_in_common():
    wavs = [np.full(100 * (1 + i), i) for i in range(9)]
    one, other = evaluate.halves(wavs, seed=0)
    assert {wav[0] for wav in one} | {wav[0] for wav in other} == set(range(9))
    assert not {wav[0] for wav in one} & {wav[0] for wav in other}
    assert 0.6 < sum(map(len, one)) / sum(map(len, other)) < 1.7
    start, end = evaluate.halves([np.arange(10)], seed=0)
    assert start[0].tolist() == [0, 1, 2, 3, 4] and end[0].tolist() == [5, 6, 7, 8, 9]


def test_folders_as_people_have_them(folders, tmp_path):
    """Hidden files, a folder named like a file, an empty file, a linked folder, a locked one, a damaged file."""
    shutil.copytree(folders / "good", tmp_path / "good")
    (tmp_path / "good" / "._x.wav").write_bytes(b"\0\5\26\7")
    (tmp_path / "good" / "y.wav").mkdir()
    (tmp_path / "good" / "empty.wav").write_bytes(b"")
    (tmp_path / "good" / "cover.jpg").write_bytes(b"x")
    write_songs(tmp_path / "elsewhere", range(60, 62), 2.5)
    (tmp_path / "good" / "linked").symlink_to(tmp_path / "elsewhere")
    whole = (tmp_path / "elsewhere" / sorted(os.listdir(tmp_path / "elsewhere"))[0]).read_bytes()
    (tmp_path / "good" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    remarks = []
    wavs = evaluate.read_folder(tmp_path / "good", "--generated", remarks)
    assert len(wavs) == 16 + 2 + 1
    assert remarks[0].endswith("left out: empty (1): empty.wav; hidden (1): ._x.wav")
    assert len(remarks) == 2 and "cut.wav: it ends 1." in remarks[1] and "before its header says" in remarks[1]
    args = arguments("--generated", tmp_path / "good", "--reference", folders, "--duration", "2", "--num", "16")
    sources = evaluate.open_sources(args, found := [])
    assert evaluate.gather(args, sources, found).remarks[: len(remarks)] == remarks


def test_the_order_of_files_is_that_of_their_paths(tmp_path):
    for name, seed in (("b.wav", 1), ("a b/c.wav", 2), ("a/c.wav", 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_wav(tmp_path / name, plucked(seed, 2.0), SAMPLE_RATE)
    in_order = [read_audio(path) for path in sorted(tmp_path.rglob("*.wav"))]
    wavs = evaluate.read_folder(tmp_path, "--train")
    assert len(wavs) == 3 and all((wav == other).all() for wav, other in zip(wavs, in_order, strict=True))
