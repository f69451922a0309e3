"""Tags of audio files of every format, and damaged ones."""

import numpy as np
import pytest
import soundfile
from data_clips import RATE, chirp

from kinds.audio.preparing.tags import TAGS, read_tags

mutagen = pytest.importorskip("mutagen")

FORMATS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF", "opus": "OGG"}


def sound(folder, suffix):
    path = folder / f"a.{suffix}"
    subtype = "OPUS" if suffix == "opus" else None
    soundfile.write(path, chirp(1, RATE), RATE, format=FORMATS[suffix], subtype=subtype)
    return path


def tag(path, **texts):
    """Written as other programs do: ID3 frames, or comments by name."""
    from mutagen import id3

    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for name, values in texts.items():
        if isinstance(file.tags, id3.ID3):
            frame = {"genre": "TCON", "artist": "TPE1", "mood": "TMOO", "bpm": "TBPM", "key": "TKEY"}[name]
            file.tags.add(getattr(id3, frame)(encoding=3, text=values))
        else:
            file.tags[name] = values
    file.save()


@pytest.mark.parametrize("suffix", FORMATS)
def test_tags_of_a_format(tmp_path, suffix):
    path = sound(tmp_path, suffix)
    assert read_tags(path) == ("",) * len(TAGS)
    tag(path, genre=["Hip  Hop", "Jazz"], artist=["Zoë"], mood=["Calm"], bpm=["97"], key=["Am"])
    assert read_tags(path) == ("hip hop", "Zoë", "calm", "97", "Am")


def test_numbered_genres_and_unknown_tempos(tmp_path):
    path = sound(tmp_path, "mp3")
    tag(path, genre=["(17)"], bpm=["0"])
    assert read_tags(path)[0] == "rock" and read_tags(path)[3] == ""
    tag(path, bpm=["fast"])
    assert read_tags(path)[3] == ""


def test_the_header_of_a_wav_file(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.wav", "w", RATE, 1) as file:
        file.genre, file.artist = "Jazz", "Someone"
        file.write(chirp(1, RATE))
    assert read_tags(tmp_path / "a.wav")[:2] == ("jazz", "Someone")


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_have_no_tags_or_some(tmp_path, suffix):
    path = sound(tmp_path, suffix)
    tag(path, genre=["Jazz"], artist=["x" * 500])
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(content)
        for place in rng.integers(0, min(2000, len(content)), 8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(content))])
        texts = read_tags(path)
        assert len(texts) == len(TAGS) and all(len(text) <= 100 for text in texts)


@pytest.mark.parametrize("content", [b"", b"hello", b"ID3" + b"\xff" * 40])
def test_other_files_have_none(tmp_path, content):
    (tmp_path / "a.mp3").write_bytes(content)
    assert read_tags(tmp_path / "a.mp3") == ("",) * len(TAGS)
    assert read_tags(tmp_path / "nowhere.mp3") == ("",) * len(TAGS)
