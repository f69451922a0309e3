"""Training of the decoder as a kind of data: what the networks get, from which clips, and what is written."""

import numpy as np
import pytest
import torch
from decoder_clips import RATE, clip, make_clips

from audio_codecs.mel import MelCodec
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE
from config import make_config
from data.pairs import ReadError
from errors import UserError
from kinds.audio.files import write_wav
from kinds.audio.pairs import pair_paths
from kinds.decoder.__main__ import ship
from kinds.decoder.kind import DecoderKind
from kinds.decoder.options import DecoderOptions
from monitoring.log import RunLog
from synthesis.loading import load_generator


@pytest.fixture
def dataset(tmp_path):
    return make_clips(tmp_path)


def opened(folder, **options):
    kind = DecoderKind(DecoderOptions(**options))
    data = make_config({"kind": "decoder", "generator": "spectrum", "dataset_folder": str(folder)}).data
    return kind, *kind.open(data, build=True)


def test_each_clip_counts_once(dataset):
    _, train, val = opened(dataset)
    assert (len(train), len(val)) == (4, 2)
    assert len(set(train.names)) == 4
    wavs = {train.target(i).tobytes() for i in range(4)}
    assert len(wavs) == 4


def test_a_sample_is_the_waveform_folded_into_frames(dataset):
    _, train, _ = opened(dataset, crop_seconds=0.2)
    assert train.shape == (320, 15)
    whole = train.target(0)
    np.testing.assert_allclose(whole.T.flatten()[:100], clip(0)[:100], atol=1e-4)
    start = 7 % (37 - 15 + 1)
    np.testing.assert_array_equal(train.cut(whole, 7), whole[:, start : start + 15])
    np.testing.assert_array_equal(train.cut(whole), whole[:, 11:26])


def test_the_generator_starts_from_the_codecs_latents(dataset):
    kind, train, _ = opened(dataset)
    folded_BHT = torch.from_numpy(np.stack([train.target(0), train.target(1)]))
    start_BDT, clean_BFT = kind.observe(folded_BHT)
    codec, wav = MelCodec(), folded_BHT.transpose(1, 2).flatten(1)
    torch.testing.assert_close(start_BDT * LOG_SCALE + LOG_CENTRE, codec.encode(wav[:, None]))
    assert clean_BFT.shape == (2, kind.made_channels, 37)
    loud = clean_BFT * LOG_SCALE + LOG_CENTRE > -5
    torch.testing.assert_close(
        (clean_BFT * LOG_SCALE + LOG_CENTRE)[loud], codec.magnitudes(wav).log().transpose(1, 2)[loud]
    )


def test_a_clip_that_is_gone_is_named(dataset):
    _, train, _ = opened(dataset)
    (dataset / "train" / f"{train.names[0]}.wav").unlink()
    with pytest.raises(ReadError, match=train.names[0]):
        train.target(0)


def test_clips_that_are_too_short_are_refused(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for number in range(2):
            for k, path in enumerate(pair_paths(tmp_path / split, number)):
                write_wav(path, clip(number + k)[:2400], RATE)
    with pytest.raises(UserError, match="too short to train a decoder"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "decoder"}, "--generator cascade does not make what --kind decoder needs"),
        ({"generator": "spectrum"}, "--generator spectrum starts from latents, which --kind audio does not make"),
        ({"kind": "decoder", "generator": "spectrum", "pure_gan_mode": 0.1}, "without noise"),
    ],
)
def test_parts_that_do_not_fit(options, message):
    with pytest.raises(UserError, match=message):
        make_config(options)


def test_what_is_written_can_be_heard(dataset, tmp_path):
    kind, _, val = opened(dataset)
    player = kind.open_decoder(None, "cpu")
    player.write_references(RunLog(None), val, 2, tmp_path / "samples")
    names = {path.name for path in (tmp_path / "samples").iterdir()}
    assert {"real_0.wav", "real_1.png", "round_trip_1.wav"} <= names


def test_what_is_packed_is_a_decoder(tmp_path):
    with pytest.raises(UserError, match="not a decoder"):
        ship("pretrained/demo", tmp_path)
    loaded = load_generator("pretrained/decoder")
    ship("pretrained/decoder", tmp_path)
    again = load_generator(tmp_path)
    for name, weight in loaded.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight), name
