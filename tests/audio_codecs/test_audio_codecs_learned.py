"""The learned decoder: any length, determinism, gradients, agreement with the latents, and weights that do not fit."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_decoders import noise, with_random_output

from audio_codecs import codec_options, learned_decoder, open_codec
from audio_codecs.learned_decoder import SHIPPED, LearnedDecoder
from audio_codecs.mel import MelCodec
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE, SpectrumDecoder, normalised_log
from errors import UserError


@pytest.fixture
def network():
    return with_random_output(lambda: SpectrumDecoder(width=16, hidden=32, blocks=2))


@pytest.fixture
def codec(network):
    return MelCodec(learned=LearnedDecoder(network))


def test_the_untrained_network_already_agrees_with_the_latents():
    """Its output starts as the latents spread over the bins, rescaled to the energy of the bands."""
    codec, network = MelCodec(), SpectrumDecoder()
    latents_BDT = codec.encode(noise(1.0))
    log_BFT = network((latents_BDT - LOG_CENTRE) / LOG_SCALE) * LOG_SCALE + LOG_CENTRE
    again_BDT = codec.latents_of(log_BFT.transpose(1, 2).exp())
    assert (again_BDT - latents_BDT).abs().mean() < 0.1
    assert latents_BDT.std() > 0.5


def test_a_flat_spectrum_stays_flat():
    magnitude_BTF = torch.full((1, 9, 1025), 0.3)
    latents_BDT = MelCodec().latents_of(magnitude_BTF)
    made_BFT = SpectrumDecoder()((latents_BDT - LOG_CENTRE) / LOG_SCALE)
    inner = slice(4, 1000)
    torch.testing.assert_close(
        made_BFT[:, inner], normalised_log(magnitude_BTF).transpose(1, 2)[:, inner], atol=0.02, rtol=0
    )


@pytest.mark.parametrize("piece", [64, 100, 211])
def test_long_signals_have_no_seams(codec, monkeypatch, piece):
    latents_BDT = codec.encode(noise(4.0, batch=2))
    whole = codec.decode(latents_BDT)
    monkeypatch.setattr(learned_decoder, "PIECE", piece)
    assert (codec.decode(latents_BDT) - whole).abs().max() < 0.01 * whole.abs().max()


def test_it_is_deterministic_and_independent_of_its_batch(codec):
    latents_BDT = codec.encode(noise(1.0, batch=3))
    together = codec.decode(latents_BDT)
    assert torch.equal(together, codec.decode(latents_BDT))
    assert (codec.decode(latents_BDT[1:2])[0] - together[1]).abs().max() < 0.01 * together.abs().max()


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_short_latents_and_extreme_values(codec, frames):
    latents_BDT = torch.tensor([-1e4, 0.0, 1e4])[torch.randint(3, (2, 128, frames))]
    wav = codec.decode(latents_BDT.requires_grad_())
    wav.square().mean().backward()
    assert wav.shape == (2, 1, 320 * frames) and wav.isfinite().all() and latents_BDT.grad.isfinite().all()


def test_gradients_reach_the_latents_and_not_the_weights(codec, network):
    latents_BDT = codec.encode(noise(0.5)).requires_grad_()
    codec.decode(latents_BDT).square().sum().backward()
    assert latents_BDT.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in network.parameters())


def test_autocast_does_not_coarsen_it(codec):
    latents_BDT = codec.encode(noise(0.5))
    plain = codec.decode(latents_BDT)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(codec.decode(latents_BDT), plain)


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    """A copy of the shipped decoder."""
    for path in SHIPPED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def described(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_shipped_decoder_is_the_default_and_small():
    codec = open_codec("mel")
    assert isinstance(codec.decoder, LearnedDecoder) and codec.streams
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 8e6
    assert not isinstance(open_codec("mel", options=codec_options("mel", "griffin_lim")).decoder, LearnedDecoder)


def test_weights_can_be_given(copy):
    latents_BDT = torch.zeros(1, 128, 5)
    assert torch.equal(open_codec("mel", copy).decode(latents_BDT), open_codec("mel").decode(latents_BDT))


def test_without_the_shipped_weights_griffin_lim_decodes(monkeypatch, tmp_path):
    monkeypatch.setattr("audio_codecs.mel.SHIPPED", tmp_path / "none")
    assert not open_codec("mel").streams
    with pytest.raises(UserError, match="none cannot be used .*griffin_lim"):
        open_codec("mel", options=codec_options("mel", "learned"))


def truncated(folder):
    path = folder / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def altered(folder):
    path = folder / "generator.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def of_other_latents(folder):
    space = json.loads((folder / "config.json").read_text())["space"]
    described(folder, space=space | {"about": space["about"] | {"decodes": "mel-09117f97a404a52d"}})


def not_finite(folder):
    tensors = load_file(folder / "generator.safetensors")
    tensors["generator.enter.bias"][0] = float("nan")
    save_file(tensors, folder / "generator.safetensors")
    described(folder, weights_sha256=None)


def of_another_width(folder):
    config = json.loads((folder / "config.json").read_text())["config"]
    described(folder, config=config | {"width": 24})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "altered or truncated"),
        (altered, "altered or truncated"),
        (of_other_latents, "for latents mel-09117f97a404a52d, not for mel-"),
        (not_finite, "NaN or infinite"),
        (of_another_width, "holds no decoder of this program"),
    ],
)
def test_wrong_weights_are_one_sentence(copy, damage, message):
    damage(copy)
    with pytest.raises(UserError, match=message) as caught:
        open_codec("mel", copy)
    assert "\n" not in str(caught.value)
