"""The vocoder: tones go on, noise stays noise, any length, determinism, gradients, and weights that do not fit."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file
from small_decoders import noise, with_random_output

from audio_codecs import codec_options, learned_decoder, open_codec
from audio_codecs.learned_decoder import SHIPPED, VocoderDecoder
from audio_codecs.mel import MelCodec
from audio_codecs.noise_filling import noise_spectrum
from audio_codecs.phases import tracked_phases
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE
from audio_codecs.stft import Stft
from audio_codecs.vocoder import Predicted, Vocoder, folded, unfolded
from errors import UserError

WIDTH, LAYERS = 16, 2


@pytest.fixture
def network():
    return with_random_output(lambda: Vocoder(width=WIDTH, hidden=3 * WIDTH, blocks=LAYERS))


@pytest.fixture
def codec(network):
    return MelCodec(learned=VocoderDecoder(network))


def carried(wav_BN: torch.Tensor) -> torch.Tensor:
    """Audio of the true magnitudes with phases as tracked."""
    stft = Stft()
    magnitude_BTF = stft.of_audio(wav_BN).abs().clamp(min=1e-5)
    predicted = Predicted(magnitude_BTF.log(), torch.zeros_like(magnitude_BTF))
    noise_1TF = noise_spectrum(stft, 0, magnitude_BTF.shape[1])
    return stft.to_audio(predicted.spectrum(tracked_phases(magnitude_BTF), noise_1TF))


def test_a_held_tone_goes_on_from_frame_to_frame():
    """A tone of any frequency, not only of multiples of the frame rate, comes back with its frequency and level."""
    seconds = torch.arange(24000) / 24000
    tone_1N = 0.3 * torch.sin(2 * math.pi * 441.7 * seconds)[None]
    made_N = carried(tone_1N)[0, 4800:-4800]
    spectrum = torch.fft.rfft(made_N * torch.hann_window(len(made_N))).abs()
    assert spectrum.argmax().item() * 24000 / len(made_N) == pytest.approx(441.7, abs=1.0)
    assert made_N.std().item() == pytest.approx(0.3 / math.sqrt(2), rel=0.02)


def test_a_flat_spectrum_is_the_noise_with_these_magnitudes():
    flat_BTF, noise_BTF = torch.full((1, 9, 1025), math.log(0.5)), torch.randn(1, 9, 1025, dtype=torch.complex64)
    made_BTF = Predicted(flat_BTF, torch.zeros_like(flat_BTF)).spectrum(torch.ones_like(noise_BTF), noise_BTF)
    torch.testing.assert_close(made_BTF, 0.5 * noise_BTF)


def test_an_angle_rotates_the_tracked_phase():
    rough_BTF = torch.tensor([0.0, -4.0]).repeat(20)[None, None]
    phase_BTF = torch.polar(torch.ones_like(rough_BTF), torch.rand_like(rough_BTF))
    made_BTF = Predicted(rough_BTF, torch.full_like(rough_BTF, math.pi / 2)).spectrum(phase_BTF, 0 * phase_BTF)
    torch.testing.assert_close(made_BTF, 1j * phase_BTF * rough_BTF.exp())


def test_folding_puts_a_frame_into_a_column():
    wav_BN = torch.arange(1920.0).view(2, 960)
    folded_BHT = folded(wav_BN)
    assert folded_BHT.shape == (2, 320, 3) and folded_BHT[1, 5, 2] == 960 + 2 * 320 + 5
    assert torch.equal(unfolded(folded_BHT), wav_BN)


def test_the_network_in_training_makes_what_the_decoder_makes(codec, network):
    latents_BDT = codec.encode(noise(0.5, batch=2))
    with torch.no_grad():
        made_BHT = network((latents_BDT - LOG_CENTRE) / LOG_SCALE)
    alone = MelCodec(learned=VocoderDecoder(network, rounds=0))
    torch.testing.assert_close(unfolded(made_BHT), alone.decode(latents_BDT)[:, 0])
    refined = codec.decode(latents_BDT)[:, 0]  # the same but for its phases
    assert (refined - unfolded(made_BHT)).abs().max() > 1e-3
    assert refined.std().item() == pytest.approx(made_BHT.std().item(), rel=0.1)


def test_the_untrained_network_agrees_with_the_latents():
    codec = MelCodec(learned=VocoderDecoder(Vocoder(width=WIDTH, hidden=WIDTH, blocks=1)))
    latents_BDT = codec.encode(noise(1.0))
    again_BDT = codec.encode(codec.decode(latents_BDT))
    assert (again_BDT - latents_BDT)[..., 5:-5].abs().mean() < 0.5 < latents_BDT.std()


@pytest.mark.parametrize("piece", [64, 100, 211])
def test_long_signals_have_no_seams(codec, monkeypatch, piece):
    latents_BDT = codec.encode(noise(4.0, batch=2))
    whole = codec.decode(latents_BDT)
    monkeypatch.setattr(learned_decoder, "PIECE", piece)
    torch.testing.assert_close(codec.decode(latents_BDT), whole, atol=1e-3 * whole.abs().max().item(), rtol=0)


def test_it_is_deterministic_and_independent_of_its_batch(codec):
    latents_BDT = codec.encode(noise(1.0, batch=3))
    together = codec.decode(latents_BDT)
    assert torch.equal(together, codec.decode(latents_BDT))
    assert (codec.decode(latents_BDT[1:2])[0] - together[1]).abs().max() < 1e-3 * together.abs().max()


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_short_latents_and_extreme_values(codec, frames):
    latents_BDT = torch.tensor([-1e4, 0.0, 1e4])[torch.randint(3, (2, 128, frames))]
    wav = codec.decode(latents_BDT.requires_grad_())
    wav.square().mean().backward()
    assert wav.shape == (2, 1, 320 * frames) and wav.isfinite().all() and latents_BDT.grad.isfinite().all()


def test_gradients_reach_the_latents_and_in_training_every_weight(codec, network):
    latents_BDT = codec.encode(noise(0.5)).requires_grad_()
    codec.decode(latents_BDT).square().sum().backward()
    assert latents_BDT.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in network.parameters())
    network.requires_grad_(True)
    network(latents_BDT.detach()).abs().sum().backward()
    assert [name for name, weight in network.named_parameters() if not weight.grad.abs().sum() > 0] == []


def test_autocast_coarsens_the_network_alone(network):
    """In training with bf16 the transform stays in float32."""
    latents_BDT = (MelCodec().encode(noise(0.5)) - LOG_CENTRE) / LOG_SCALE
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        rough_BHT = network(latents_BDT)
    assert rough_BHT.dtype == torch.float32 and rough_BHT.isfinite().all()


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, network):
    """An exported vocoder."""
    save_file({f"generator.{name}": value for name, value in network.state_dict().items()},
              tmp_path / "generator.safetensors")  # fmt: skip
    described = {
        "config": {"generator": "vocoder", "width": WIDTH, "num_layers": LAYERS},
        "space": {"about": {"decodes": MelCodec.identify()}},
    }
    (tmp_path / "config.json").write_text(json.dumps(described))
    return tmp_path


def described(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("given", [{"decoder": None, "as_weights": True}, {"decoder": "folder", "as_weights": False}])
def test_a_folder_decodes_as_what_it_holds(folder, codec, given):
    latents_BDT = codec.encode(noise(0.3))
    options = codec_options("mel", str(folder) if given["decoder"] else None)
    opened = open_codec("mel", folder if given["as_weights"] else None, options=options)
    assert isinstance(opened.decoder, VocoderDecoder) and opened.streams
    assert torch.equal(opened.decode(latents_BDT), codec.decode(latents_BDT))


def test_a_named_decoder_goes_before_weights(folder):
    assert not isinstance(open_codec("mel", folder, options=codec_options("mel", str(SHIPPED))).decoder, VocoderDecoder)


def truncated(folder):
    path = folder / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def altered(folder):
    described(folder, weights_sha256="0" * 64)


def of_other_latents(folder):
    described(folder, space={"about": {"decodes": "mel-09117f97a404a52d"}})


def of_another_width(folder):
    described(folder, config={"generator": "vocoder", "width": 24, "num_layers": LAYERS})


def of_another_network(folder):
    described(folder, config={"generator": "spectrum", "width": WIDTH, "num_layers": LAYERS})


def of_no_decoder(folder):
    described(folder, config={"generator": "cascade", "width": WIDTH, "num_layers": LAYERS})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "cannot be used"),
        (altered, "altered or truncated"),
        (of_other_latents, "for latents mel-09117f97a404a52d, not for mel-"),
        (of_another_width, "holds no decoder of this program"),
        (of_another_network, "holds no decoder of this program"),
        (of_no_decoder, "holds no decoder of this program"),
    ],
)
def test_wrong_weights_are_one_sentence(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        open_codec("mel", options=codec_options("mel", str(folder)))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="no decoder 'learnt'; give learned, griffin_lim, or the folder"):
        open_codec("mel", options=codec_options("mel", "learnt"))
