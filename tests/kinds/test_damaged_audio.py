"""Files that are damaged or joined, or whose headers are wrong: they are read to their end, in order."""

import struct

import numpy as np
import pytest
import soundfile
from melodies import RATE, encode, melody, ogg_pages, seconds_heard, without_tag, write_mp3

from kinds.audio import ffmpeg, mp3
from kinds.audio.errors import AudioError
from kinds.audio.files import probe, read_audio, read_recording


def seconds_of(path):
    return len(read_audio(path)) / 24_000


def loud_start(seconds):
    """A melody behind half a second of noise, for which a variable bit rate is at its highest."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE // 2).astype(np.float32)
    return np.concatenate([noise, melody(seconds)])


def test_an_mp3_of_variable_bit_rate_without_a_tag_is_read_to_its_end(tmp_path):
    data = without_tag(write_mp3(tmp_path / "a.mp3", loud_start(8), "VARIABLE"))
    (tmp_path / "b.mp3").write_bytes(data)
    assert probe(tmp_path / "b.mp3").frames < 8 * RATE  # what a guess from the first frame gives
    recording = read_recording(tmp_path / "b.mp3")
    assert len(recording.wav) / 24_000 == pytest.approx(8.5, abs=0.1)
    assert seconds_heard(recording.wav[12_000 + 600 :]) == list(range(8))
    assert recording.remarks == []


@pytest.mark.parametrize("tag", ["with a tag", "without a tag"])
def test_joined_mp3s_are_read_to_their_end_and_a_wrong_tag_is_said(tmp_path, tag):
    parts = [write_mp3(tmp_path / f"{i}.mp3", melody(3, 3 * i)) for i in range(2)]
    (tmp_path / "joined.mp3").write_bytes(b"".join(parts if tag == "with a tag" else map(without_tag, parts)))
    recording = read_recording(tmp_path / "joined.mp3")
    assert len(recording.wav) / 24_000 == pytest.approx(6.05, abs=0.1)
    assert seconds_heard(recording.wav[600:]) == list(range(6))
    said = ["its header says 3.0 s, it holds 6.1 s"] if tag == "with a tag" else []
    assert [remark.replace("3.1 s,", "3.0 s,") for remark in recording.remarks] == said


def test_joined_mp3s_of_different_rates(tmp_path):
    first = write_mp3(tmp_path / "a.mp3", melody(3))
    second = write_mp3(tmp_path / "b.mp3", melody(3, 3, 22_050), rate=22_050)
    (tmp_path / "joined.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\x05hello" + first + b"TAG" + b"\0" * 125 + second)
    wav = read_audio(tmp_path / "joined.mp3")
    assert len(wav) / 24_000 == pytest.approx(6.1, abs=0.15)
    assert seconds_heard(wav[1200:])[:6] == list(range(6))


def test_an_mp3_with_damaged_bytes_in_its_middle_goes_on_behind_them(tmp_path, capfd):
    data = write_mp3(tmp_path / "a.mp3", melody(6))
    middle, size = len(data) // 2, 3000
    garbage = np.random.default_rng(1).bytes(size)
    (tmp_path / "b.mp3").write_bytes(data[:middle] + garbage + data[middle + size :])
    recording = read_recording(tmp_path / "b.mp3")
    lost = 6 * size / len(data)
    assert len(recording.wav) / 24_000 == pytest.approx(6 - lost, abs=0.15)
    heard = seconds_heard(recording.wav)
    assert heard[0] == 0 and recording.wav.size and heard == sorted(heard)
    assert seconds_heard(recording.wav[-24_000:]) == [5]
    assert len(recording.remarks) == 1
    assert float(recording.remarks[0].split()[1]) == pytest.approx(lost, abs=0.1)
    assert "could not be decoded" in recording.remarks[0]
    assert capfd.readouterr() == ("", "")


def test_messages_of_the_mp3_decoder_become_remarks(tmp_path, capfd):
    data = bytearray(write_mp3(tmp_path / "a.mp3", melody(3)))
    at = data.find(b"\xff\xfb", len(data) // 2)
    while (frame := mp3.frame_at(bytes(data), at)) is None:
        at = data.find(b"\xff\xfb", at + 1)
    data[at + 4 : at + frame.size] = b"\xfe" * (frame.size - 4)  # side information that makes no sense
    (tmp_path / "b.mp3").write_bytes(data)
    recording = read_recording(tmp_path / "b.mp3")
    assert len(recording.wav) / 24_000 == pytest.approx(3, abs=0.1)
    assert len(recording.remarks) == 1 and recording.remarks[0].startswith("its decoder says: ")
    assert capfd.readouterr() == ("", "")


def test_a_good_mp3_has_its_length_and_no_remark(tmp_path):
    write_mp3(tmp_path / "a.mp3", melody(3))
    recording = read_recording(tmp_path / "a.mp3")
    assert recording.remarks == [] and abs(len(recording.wav) - 72_000) < 1300


def test_a_chained_ogg_is_read_whole(tmp_path):
    for i in range(2):
        soundfile.write(tmp_path / f"{i}.ogg", melody(3, 3 * i), RATE)
    (tmp_path / "b.ogg").write_bytes((tmp_path / "0.ogg").read_bytes() + (tmp_path / "1.ogg").read_bytes())
    recording = read_recording(tmp_path / "b.ogg")
    assert seconds_heard(recording.wav) == list(range(6))
    assert recording.remarks == ["2 recordings in one file, all read"]


def test_an_ogg_with_a_hole_is_read_in_order_and_the_loss_is_said(tmp_path):
    soundfile.write(tmp_path / "a.ogg", melody(24), RATE)
    pages = ogg_pages((tmp_path / "a.ogg").read_bytes())
    middle = len(pages) // 2
    (tmp_path / "b.ogg").write_bytes(b"".join(pages[:middle] + pages[middle + 2 :]))
    recording = read_recording(tmp_path / "b.ogg")
    lost = 24 - len(recording.wav) / 24_000
    assert lost > 0.3 and recording.remarks == [f"damaged, {lost:.2f} s could not be decoded"]
    heard = [second for second in seconds_heard(recording.wav) if 0 <= second < 24]
    assert heard == sorted(heard) and heard[0] == 0


def test_joined_flacs_and_a_flac_of_unknown_length(tmp_path):
    for i in range(2):
        soundfile.write(tmp_path / f"{i}.flac", melody(2, 2 * i), RATE)
    parts = [(tmp_path / f"{i}.flac").read_bytes() for i in range(2)]
    (tmp_path / "joined.flac").write_bytes(b"".join(parts))
    assert seconds_heard(read_audio(tmp_path / "joined.flac")) == [0, 1, 2, 3]
    streamed = bytearray(parts[0])
    streamed[21] &= 0xF0  # the number of samples: 36 bits from here
    streamed[22:26] = bytes(4)
    (tmp_path / "streamed.flac").write_bytes(streamed)
    np.testing.assert_array_equal(read_audio(tmp_path / "streamed.flac"), read_audio(tmp_path / "0.flac"))


def wav_bytes(path, seconds):
    soundfile.write(path, melody(seconds), RATE)
    data = bytearray(path.read_bytes())
    assert data[36:40] == b"data"
    return data


def test_a_wav_whose_sizes_are_zero_is_read_to_its_end(tmp_path):
    data = wav_bytes(tmp_path / "a.wav", 2)
    data[4:8] = data[40:44] = bytes(4)
    (tmp_path / "b.wav").write_bytes(data)
    recording = read_recording(tmp_path / "b.wav")
    np.testing.assert_array_equal(recording.wav, read_audio(tmp_path / "a.wav"))
    assert recording.remarks == ["its header gives no length, so it was read to its end"]
    assert probe(tmp_path / "b.wav").frames == 2 * RATE


def test_a_wav_that_ends_early_says_so(tmp_path):
    data = wav_bytes(tmp_path / "a.wav", 4)
    (tmp_path / "b.wav").write_bytes(data[: len(data) // 2])
    recording = read_recording(tmp_path / "b.wav")
    assert len(recording.wav) == pytest.approx(48_000, abs=30)
    assert recording.remarks == ["it ends 2.0 s before its header says"]


def test_joined_wavs_are_read_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", melody(2), RATE)
    soundfile.write(tmp_path / "b.wav", melody(2, 2), RATE)
    (tmp_path / "c.wav").write_bytes((tmp_path / "a.wav").read_bytes() + (tmp_path / "b.wav").read_bytes())
    assert seconds_heard(read_audio(tmp_path / "c.wav")) == [0, 1, 2, 3]


def test_a_wav_with_sizes_of_zero_and_no_audio_is_empty(tmp_path):
    data = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", 0)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(AudioError, match="empty"):
        read_audio(tmp_path / "a.wav")


FORMATS = [
    ("a.m4a", "aac"),
    ("a.aac", "aac"),
    ("a.wma", "wmav2"),
    ("a.webm", "libopus"),
    ("a.mka", "ac3"),
    ("a.mov", "alac"),
]


@pytest.mark.parametrize("name, codec", FORMATS)
def test_formats_that_libsndfile_lacks_are_read_by_ffmpeg(tmp_path, name, codec):
    pytest.importorskip("av")
    rate = 48_000 if codec == "libopus" else RATE
    encode(tmp_path / name, melody(3, rate=rate), codec, rate)
    wav = read_audio(tmp_path / name)
    assert len(wav) / 24_000 == pytest.approx(3, abs=0.1)
    assert seconds_heard(wav[600:] if name == "a.aac" else wav)[:2] == [0, 1]


def test_the_sound_of_a_video_is_read(tmp_path):
    pytest.importorskip("av")
    encode(tmp_path / "a.mp4", melody(2), "aac", picture=True)
    assert seconds_heard(read_audio(tmp_path / "a.mp4")) == [0, 1]


def test_a_damaged_flac_is_read_by_ffmpeg_and_the_loss_is_said(tmp_path):
    pytest.importorskip("av")
    soundfile.write(tmp_path / "a.flac", melody(6), RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(2).bytes(3000)
    (tmp_path / "b.flac").write_bytes(data)
    recording = read_recording(tmp_path / "b.flac")
    lost = 6 - len(recording.wav) / 24_000
    assert 0 < lost < 1 and recording.remarks == [f"damaged, {lost:.2f} s could not be decoded"]
    assert seconds_heard(recording.wav[-24_000:]) == [5]


def test_without_the_package_one_line_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A anything")
    with pytest.raises(AudioError, match="needs the package av to be read: pip install av"):
        read_audio(tmp_path / "a.m4a")


def test_a_playlist_opens_no_other_file(tmp_path):
    pytest.importorskip("av")
    encode(tmp_path / "a.m4a", melody(2), "aac")
    (tmp_path / "b.m4a").write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'a.m4a'}'\n")
    (tmp_path / "c.m4a").write_text(f"#EXTM3U\n#EXTINF:2,\n{tmp_path / 'a.m4a'}\n#EXT-X-ENDLIST\n")
    for name in ("b.m4a", "c.m4a"):
        with pytest.raises(AudioError, match="not audio"):
            read_audio(tmp_path / name)


@pytest.mark.parametrize("suffix, centre", [("wav", 2), ("flac", 2), ("ogg", 1)])
def test_the_centre_of_six_channels_is_as_loud_as_in_the_usual_down_mix(tmp_path, suffix, centre):
    channels = np.zeros((2 * RATE, 6), np.float32)
    channels[:, centre] = melody(2)
    soundfile.write(tmp_path / f"a.{suffix}", channels, RATE)
    wav = read_audio(tmp_path / f"a.{suffix}")
    rms = np.sqrt(np.mean(np.square(wav[2400:-2400])))
    assert 20 * np.log10(rms / (0.4 / np.sqrt(2))) == pytest.approx(-3.0, abs=0.1)


@pytest.mark.parametrize("other", [-1.0, -0.9])
def test_of_channels_that_cancel_each_other_one_is_taken(tmp_path, other):
    wav = melody(2)
    soundfile.write(tmp_path / "a.wav", np.stack([wav, other * wav], axis=1), RATE, "FLOAT")
    recording = read_recording(tmp_path / "a.wav")
    assert np.sqrt(np.mean(np.square(recording.wav))) == pytest.approx(0.4 / np.sqrt(2), rel=0.01)
    assert recording.remarks == ["its channels cancel each other, so channel 1 alone is used"]


def test_independent_channels_are_mixed_as_ever(tmp_path):
    both = np.random.default_rng(3).uniform(-0.5, 0.5, (24_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", both, 24_000, "FLOAT")
    recording = read_recording(tmp_path / "a.wav")
    np.testing.assert_array_equal(recording.wav, (both[:, 0] + both[:, 1]) * np.float32(0.5))
    assert recording.remarks == []
