"""Tags of audio files of every format, and damaged ones."""

import struct

import numpy as np
import pytest
import soundfile
from data_clips import RATE, chirp

from kinds.audio.preparing.tags import TAGS, read_tags

pytest.importorskip("tinytag")

FORMATS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF", "opus": "OGG"}
FRAMES = {"genre": "TCON", "artist": "TPE1", "mood": "TMOO", "bpm": "TBPM", "key": "TKEY"}
TEXTS = {"genre": ["Hip  Hop", "Jazz"], "artist": ["Zoë"], "mood": ["Calm"], "bpm": ["97"], "key": ["Am"]}


def sound(folder, suffix):
    path = folder / f"a.{suffix}"
    subtype = "OPUS" if suffix == "opus" else None
    soundfile.write(path, chirp(1, RATE), RATE, format=FORMATS[suffix], subtype=subtype)
    return path


def tag(path, **texts):
    """Written as other programs do: ID3 frames, or comments by name."""
    content, suffix = path.read_bytes(), path.suffix[1:]
    if suffix == "mp3":
        path.write_bytes(id3(texts) + content)
    elif suffix in ("wav", "aiff"):
        path.write_bytes(with_chunk(content, id3(texts), "<I" if suffix == "wav" else ">I"))
    else:
        comments = [f"{name}={text}".encode() for name, values in texts.items() for text in values]
        path.write_bytes({"flac": in_flac, "ogg": in_ogg, "opus": in_ogg}[suffix](content, comment_list(comments)))


def id3(texts) -> bytes:
    """An ID3v2.4 tag in UTF-8; several values of a frame stand behind each other."""
    bodies = {FRAMES[name]: b"\x03" + "\0".join(values).encode() for name, values in texts.items()}
    frames = b"".join(frame.encode() + seven_bits(len(body)) + b"\0\0" + body for frame, body in bodies.items())
    return b"ID3\4\0\0" + seven_bits(len(frames)) + frames


def seven_bits(number: int) -> bytes:
    """A length as ID3 writes it: seven bits a byte."""
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def with_chunk(content: bytes, tags: bytes, order: str) -> bytes:
    tags += b"\0" * (len(tags) % 2)
    whole = content[8:] + (b"id3 " if order == "<I" else b"ID3 ") + struct.pack(order, len(tags)) + tags
    return content[:4] + struct.pack(order, len(whole)) + whole


def comment_list(comments) -> bytes:
    counted = [struct.pack("<I", len(one)) + one for one in (b"a program", *comments)]
    return counted[0] + struct.pack("<I", len(comments)) + b"".join(counted[1:])


def in_flac(content: bytes, comments: bytes) -> bytes:
    """The stream's description, then these comments instead of what else was before the sound."""
    at, last = 4, False
    while not last:
        last, size = content[at] & 128, int.from_bytes(content[at + 1 : at + 4], "big")
        at += 4 + size
    return content[:4] + b"\0" + content[5:42] + b"\x84" + len(comments).to_bytes(3, "big") + comments + content[at:]


def in_ogg(content: bytes, comments: bytes) -> bytes:
    """The first page and one with these comments: what readers of tags need, without the sound."""
    first = 27 + content[26] + sum(content[27 : 27 + content[26]])
    opus = content[27 + content[26] :].startswith(b"Opus")
    packet = (b"OpusTags" if opus else b"\3vorbis") + comments + b"\1" * (not opus)
    sizes = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    return content[:first] + b"OggS\0\0" + b"\0" * 8 + content[14:18] + b"\1\0\0\0" + b"\0" * 4 + bytes(
        [len(sizes)]
    ) + sizes + packet  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_tags_of_a_format(tmp_path, suffix):
    path = sound(tmp_path, suffix)
    assert read_tags(path) == ("",) * len(TAGS)
    tag(path, **TEXTS)
    assert read_tags(path) == ("hip hop", "Zoë", "calm", "97", "Am")


@pytest.mark.parametrize(
    ("suffix", "muxer", "codec", "names", "expected"),
    [
        ("m4a", "ipod", "aac", {"tmpo": "97"}, ("jazz", "Zoë", "", "97", "")),
        ("wma", "asf", "wmav2", {"WM/Mood": "Calm", "WM/BeatsPerMinute": "97", "WM/InitialKey": "Am"},
         ("jazz", "Zoë", "calm", "97", "Am")),
        ("flac", "flac", "flac", {"TEMPO": "97", "initialkey": "Am"}, ("jazz", "Zoë", "", "97", "Am")),
    ],
)  # fmt: skip
def test_tags_that_ffmpeg_wrote(tmp_path, suffix, muxer, codec, names, expected):
    av = pytest.importorskip("av")
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format=muxer) as file:
        file.metadata.update({"genre": "Jazz", "artist": "Zoë"} | names)
        stream = file.add_stream(codec, rate=44_100, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.int16), format="s16", layout="mono")
        frame.sample_rate = 44_100
        form = {"format": stream.format.name, "layout": "mono", "rate": 44_100}
        for part in av.AudioResampler(**form, frame_size=stream.codec_context.frame_size or None).resample(frame):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    assert read_tags(path) == expected


def test_numbered_genres_and_unknown_tempos(tmp_path):
    path = sound(tmp_path, "mp3")
    tag(path, genre=["(17)"], bpm=["0"])
    assert read_tags(path)[0] == "rock" and read_tags(path)[3] == ""
    path = sound(tmp_path, "mp3")
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
