"""Audio latents as a kind of data: opening, what a run knows of them, their features, and back to sound."""

import numpy as np
import pytest
import torch
from data_clips import RATE, make_hand_made
from PIL import Image

from audio_codecs import CODECS, codec_identity, open_codec
from audio_codecs.mel import MelCodec
from config import make_config
from errors import UserError
from kinds.audio.decoder import AudioDecoder
from kinds.audio.files import read_audio
from kinds.audio.kind import AudioKind
from kinds.audio.options import AudioOptions
from kinds.audio.wav_log import PLAYED
from kinds.base import build_kind
from monitoring.log import RunLog
from registry import Options, Part, opt
from synthesis.space import Space


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_hand_made(tmp_path_factory.mktemp("kind") / "dataset", val=3)


def kind_of(dataset, **options):
    config = make_config({"dataset_folder": str(dataset)} | options)
    return build_kind(config.choices), config.data


def space_of(pairs, kind) -> Space:
    scales_K2, facts = torch.ones(2, 2), (kind.identity, pairs.shape, kind.rate)
    return Space("audio", *facts, torch.tensor(pairs.mean), torch.tensor(pairs.std), scales_K2, about=kind.about)


def test_opening_says_what_the_tensors_are(dataset):
    kind, data = kind_of(dataset)
    assert (kind.unit, kind.identity, kind.about) == ("s", "", {})
    train, val = kind.open(data, build=True)
    assert (len(train), len(val)) == (4, 3)
    assert train.shape == val.shape == (128, 38)
    assert kind.identity == codec_identity("mel") == train.codec_identity
    assert kind.rate == 75
    assert kind.about == {"codec": "mel", "sample_rate": 24_000}


@pytest.mark.parametrize("seconds, frames", [(0.0, 38), (0.2, 15), (0.1, 8), (100.0, 38)])
def test_crops_are_given_in_seconds_and_both_splits_are_cut(dataset, seconds, frames):
    kind, data = kind_of(dataset, crop_seconds=seconds)
    splits = kind.open(data, build=True)
    assert [pairs.shape for pairs in splits] == [(128, frames)] * 2
    assert space_of(splits[0], kind).length == pytest.approx(frames / 75)


def test_without_building_another_process_must_have_built(tmp_path):
    folder = make_hand_made(tmp_path / "dataset")
    kind, data = kind_of(folder)
    with pytest.raises(UserError, match="no latents"):
        kind.open(data, build=False)
    kind.open(data, build=True)
    other, data = kind_of(folder)
    train, _ = other.open(data, build=False)
    assert other.identity == kind.identity and len(train) == 4


def test_splits_may_lie_elsewhere(dataset, tmp_path):
    other = make_hand_made(tmp_path / "other", train=3)
    kind, data = kind_of("unused", train_dir=str(dataset / "train"), val_dir=str(other / "train"))
    train, val = kind.open(data, build=True)
    assert (len(train), len(val)) == (4, 3)


def test_what_training_cannot_use_is_one_sentence(tmp_path):
    kind, data = kind_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no dataset folder"):
        kind.open(data, build=True)


# --- features ------------------------------------------------------------------------------------------------------


def slow_deviation(x_BDT: np.ndarray, frames: int) -> np.ndarray:
    """Of averages over so many frames; the last may be over fewer."""
    T = x_BDT.shape[-1]
    means = [x_BDT[..., t : t + frames].mean(-1) for t in range(0, T, min(frames, T))]
    return np.stack(means, axis=-1).std(-1)


@pytest.mark.parametrize("frames", [1, 5, 8, 33, 100])
def test_features_are_level_spread_and_slow_movement(frames):
    x = np.random.default_rng(frames).standard_normal((3, 4, frames)).astype(np.float32)
    features = AudioKind(AudioOptions()).features(torch.from_numpy(x))
    slow = [slow_deviation(x, n) for n in (8, 32)]
    expected = np.concatenate([x.mean(-1), x.std(-1), *slow], axis=1)
    assert features.shape == (3, 16)
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_features_separate_slow_from_fast_and_do_not_mix_samples():
    time = torch.arange(64.0)
    slow, fast = torch.sin(time / 10), torch.sin(2.5 * time)
    both = torch.stack([slow, fast])[:, None]
    features = AudioKind(AudioOptions()).features(both)
    assert features[0, 2] > 5 * features[1, 2] and features[0, 1] == pytest.approx(float(features[1, 1]), rel=0.3)
    torch.testing.assert_close(AudioKind(AudioOptions()).features(both[1:]), features[1:])


# --- back to sound -------------------------------------------------------------------------------------------------


def quick(decoder: AudioDecoder) -> AudioDecoder:
    decoder.codec.rounds = 2
    return decoder


def test_samples_become_sounds_and_pictures(dataset, tmp_path):
    kind, data = kind_of(dataset)
    train, _ = kind.open(data, build=True)
    decoder, log = quick(kind.open_decoder(space_of(train, kind), "cpu")), RunLog(None)
    latents = torch.from_numpy(np.stack([train.target(i).astype(np.float32) for i in range(2)]))
    latents[1, 0, 0] = torch.nan
    decoder.write(log, "generated", latents, 7, tmp_path / "samples" / "epoch_0001")
    names = [f"epoch_0001_{k}.{ending}" for k in range(2) for ending in ("png", "wav")] + ["epoch_0001_grid.png"]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == names
    for k in range(2):
        assert len(read_audio(tmp_path / "samples" / f"epoch_0001_{k}.wav")) == 38 * 320


def test_references_are_real_targets_and_their_round_trip(dataset, tmp_path):
    kind, data = kind_of(dataset)
    train, val = kind.open(data, build=True)
    quick(kind.open_decoder(space_of(train, kind), "cpu")).write_references(RunLog(None), val, 2, tmp_path / "samples")
    names = [f"{stem}_{k}.wav" for stem in ("real", "round_trip") for k in range(2)]
    assert sorted(path.name for path in (tmp_path / "samples").glob("*.wav")) == names
    for k in range(2):
        real = read_audio(dataset / "val" / f"pair_{k:04d}_target.wav")
        np.testing.assert_allclose(read_audio(tmp_path / "samples" / f"real_{k}.wav"), real, atol=1e-4)
        played_back = read_audio(tmp_path / "samples" / f"round_trip_{k}.wav")
        assert len(played_back) == 38 * 320 and np.abs(played_back[: len(real)] - real).max() > 1e-3
    quick(kind.open_decoder(space_of(train, kind), "cpu")).write_references(RunLog(None), val, 9, tmp_path / "all")
    assert len(list((tmp_path / "all").glob("real_*.wav"))) == PLAYED
    with Image.open(tmp_path / "all" / "real_0.png") as one, Image.open(tmp_path / "all" / "real_grid.png") as grid:
        assert grid.size == (2 * one.width + 2, 2 * one.height + 2)  # three clips, no more than there are


def test_a_codec_without_its_weights_is_refused(dataset):
    kind, _ = kind_of(dataset, codec="encodec_24khz", codec_weights="/nowhere")
    about = {"codec": "encodec_24khz", "sample_rate": RATE}
    space = Space("audio", "x", (128, 38), 75, torch.zeros(128), torch.ones(128), torch.ones(2, 2), about=about)
    with pytest.raises(UserError, match="/nowhere"):
        kind.open_decoder(space, "cpu")


# --- a codec's own options -----------------------------------------------------------------------------------------


class ToyOptions(Options):
    """toy"""

    toy_shift: float = opt(0.0, "added to every latent")


class ToyCodec(MelCodec):
    """Log-mel, shifted."""

    name = "toy"

    def __init__(self, options: ToyOptions, device: str) -> None:
        super().__init__(device, rounds=1)
        self.identity, self.shift = self.identify(None, options), options.toy_shift

    @classmethod
    def open(cls, weights, device, options):
        return cls(options, device)

    @classmethod
    def identify(cls, weights=None, options=None):
        return f"toy-{options.toy_shift:g}" if options else "toy"

    def encode(self, wav_B1N):
        return super().encode(wav_B1N) + self.shift

    def decode(self, latents_BDT):
        return super().decode(latents_BDT - self.shift)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(CODECS._parts, "toy", Part("toy", ToyCodec, ToyOptions))


def test_a_codecs_options_reach_encoding_identity_and_decoding(toy, tmp_path):
    folder = make_hand_made(tmp_path / "dataset")
    plain, _ = kind_of(folder)[0].open(kind_of(folder)[1], build=True)
    kind, data = kind_of(folder, codec="toy", toy_shift=3.0)
    shifted, _ = kind.open(data, build=True)
    assert kind.identity == "toy-3"
    np.testing.assert_allclose(np.float32(shifted.input(0)), np.float32(plain.input(0)) + 3, atol=0.02)
    kind.open(data, build=False)
    decoder = kind.open_decoder(space_of(shifted, kind), "cpu")
    assert decoder.codec.shift == 3.0
    assert open_codec("toy").shift == 0.0
    other, data = kind_of(folder, codec="toy", toy_shift=4.0)
    with pytest.raises(UserError, match="no latents"):  # another option, another space
        other.open(data, build=False)
