"""evaluate.py with two rulers, with one, and where the notes ruler is missing."""

import json

import pytest

import evaluate
from audio_codecs.mel import MelCodec
from evaluation import ladder
from kinds.audio import notes
from kinds.audio.files import write_wav
from kinds.audio.preparing.demo_music import demo_song

SAMPLE_RATE = 24_000
WHY = "the notes ruler needs basic-pitch: pip install --no-deps basic-pitch==0.4.0"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    root = tmp_path_factory.mktemp("music")
    for name, seeds in (("val", range(2)), ("train", range(2, 4)), ("good", range(4, 6))):
        (root / name).mkdir()
        for seed in seeds:
            write_wav(root / name / f"{seed}.wav", demo_song(seed, 16.5, SAMPLE_RATE), SAMPLE_RATE)
    return root


def evaluated(music, *options):
    """Exit code and report of one call."""
    given = [
        "--generated",
        music / "good",
        "--dataset_folder",
        music,
        *["--duration", "2", "--num", "16", "--rounds", "10"],
    ]
    code = evaluate.main([str(option) for option in (*given, "--json", music / "out.json", *options)])
    return code, json.loads((music / "out.json").read_text())


@pytest.mark.skipif(notes.missing() is not None, reason=str(notes.missing()))
def test_both_rulers_are_in_the_tables_and_in_the_json(music, monkeypatch, capsys):
    monkeypatch.setattr("audio_codecs.open_codec", lambda *_: MelCodec(rounds=4))
    code, report = evaluated(music)
    assert code == 0 and list(report["rulers"]) == ["clips", "notes"]
    assert report["sets"] == report["rulers"]["clips"]["sets"]
    assert report["misordered"] == report["rulers"]["clips"]["misordered"]
    by_notes = report["rulers"]["notes"]
    assert list(by_notes["sets"]) == ["good", *ladder.RUNGS] == list(report["sets"])
    for figure in ("gap_closed", "frechet", "coverage", "diversity", "notes_per_s", "length_mean", "polyphony_mean"):
        entry = by_notes["sets"]["good"][figure]
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert by_notes["reference"]["notes_per_s"]["value"] > 1
    shown = capsys.readouterr().out
    for text in ("ruler clips", "ruler notes", "notes/s", "length s", "polyphony", "the held-out music itself has"):
        assert text in shown


def test_where_the_ruler_is_missing_one_line_says_so(music, monkeypatch, capsys):
    monkeypatch.setattr("audio_codecs.open_codec", lambda *_: MelCodec(rounds=2))
    monkeypatch.setattr(notes, "missing", lambda: WHY)
    code, report = evaluated(music)
    assert code == 0 and list(report["rulers"]) == ["clips"] and WHY in report["remarks"]
    assert capsys.readouterr().out.count(WHY) == 1


@pytest.mark.parametrize(("names", "said"), [("notes", "needs basic-pitch"), ("feet", "there is no ruler 'feet'")])
def test_no_usable_ruler_is_one_sentence_and_exit_code_2(music, monkeypatch, capsys, names, said):
    monkeypatch.setattr(notes, "missing", lambda: WHY)
    assert evaluate.main(["--generated", str(music / "good"), "--rulers", names]) == 2
    stderr = capsys.readouterr().err
    assert said in stderr and stderr.count("\n") == 1
