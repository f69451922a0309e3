"""The log-mel codec with Griffin-Lim: filters against other libraries, round trip, shapes, gradients, determinism."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_codecs import CODECS, codec_class, codec_identity, open_codec
from audio_codecs.base import Codec
from audio_codecs.filters import slaney_filters
from errors import UserError

RATE = 24000


@pytest.fixture(scope="module")
def codec():
    return open_codec("mel_slaney")


def music(seconds: float) -> torch.Tensor:
    """Plucked chords of twelve harmonics over a kick and a quiet hiss: [1, 1, N]."""
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    beat = time % 0.5
    wav = torch.zeros_like(time)
    for step, root in enumerate((220.0, 174.61, 261.63, 196.0)):
        sounding = ((time // 0.5) % 4 == step) * torch.exp(-4 * beat) * (1 - torch.exp(-200 * beat))
        for pitch in (root, root * 5 / 4, root * 3 / 2):
            wav += sounding * sum(torch.sin(2 * math.pi * k * pitch * time) / k**1.5 for k in range(1, 13)) / 8
    wav += 0.4 * torch.exp(-20 * beat) * torch.sin(2 * math.pi * 55 * beat)
    wav += 0.003 * torch.randn(time.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return wav.float()[None, None]


@pytest.mark.parametrize("shape", [(1, 777), (2, 100_001), (300, 9_600)])
def test_encoding_piece_by_piece_equals_encoding_at_once(codec, shape):
    wav_BN = torch.randn(shape, generator=torch.Generator().manual_seed(2)) / 10
    latents_BDT = codec.encode(wav_BN[:, None])
    assert latents_BDT.shape == (shape[0], 128, -(-shape[1] // 320))
    torch.testing.assert_close(latents_BDT, codec.latents_of(codec.magnitudes(wav_BN)), rtol=0, atol=1e-5)


def test_filters_equal_those_of_transformers():
    audio_utils = pytest.importorskip("transformers.audio_utils")
    expected_FD = audio_utils.mel_filter_bank(1025, 128, 0.0, 12000.0, RATE, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(slaney_filters().T.numpy(), expected_FD, atol=1e-9)


def test_filters_equal_those_of_torchaudio():
    torchaudio = pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))
    expected_FD = torchaudio.functional.melscale_fbanks(
        1025, 0.0, 12000.0, 128, RATE, norm="slaney", mel_scale="slaney"
    )
    torch.testing.assert_close(slaney_filters().T.float(), expected_FD, atol=1e-6, rtol=0)


def test_filters_are_never_empty_and_have_unit_area():
    area_D = slaney_filters().sum(1) * (RATE / 2048)
    assert (area_D - 1).abs().max() < 0.2  # narrow triangles are sampled coarsely
    assert (area_D[64:] - 1).abs().max() < 0.01


def test_a_sine_in_the_middle_has_the_closed_form_magnitude(codec):
    frequency = 64 * RATE / 2048
    wav = torch.cos(2 * math.pi * frequency * torch.arange(RATE, dtype=torch.float64) / RATE)
    got_D = codec.encode(wav[None, None])[0, :, 30]
    # A Hann window turns a sine on a bin into half its sum there (512) and half of that on either side.
    spectrum_F = torch.zeros(1025, dtype=torch.float64)
    spectrum_F[63:66] = torch.tensor([256.0, 512.0, 256.0])
    expected_D = (slaney_filters() @ spectrum_F).float()
    torch.testing.assert_close(got_D.exp(), expected_D, atol=1e-3, rtol=1e-4)


def test_magnitudes_explain_the_mel(codec):
    mel_BTD = codec.encode(music(1.0)).exp().transpose(1, 2)
    magnitude_BTF = codec.decoder.rescale(codec.decoder.invert_filters(mel_BTD), mel_BTD)
    assert magnitude_BTF.min() >= 0
    error = (magnitude_BTF @ codec._filters_FD).log() - mel_BTD.log()
    assert error.abs().mean() < 0.02
    clamped = ((mel_BTD @ codec.decoder._inverse_DF).clamp(min=0) @ codec._filters_FD).log() - mel_BTD.log()
    assert error.abs().mean() < 0.3 * clamped.abs().mean()


def test_the_inverse_is_the_pseudo_inverse(codec):
    torch.testing.assert_close(
        codec.decoder._inverse_DF.T, torch.linalg.pinv(slaney_filters()).float(), atol=1e-5, rtol=1e-5
    )


def test_silence_is_the_floor_and_stays_silent(codec):
    latents = codec.encode(torch.zeros(1, 1, 3200))
    assert torch.equal(latents, torch.full((1, 128, 10), 1e-5).log())
    assert codec.decode(latents).abs().max() < 5e-5  # about one step of 16-bit audio


def test_round_trip_keeps_the_log_mel(codec):
    latents = codec.encode(music(3.0))
    again = codec.encode(codec.decode(latents))
    assert latents.std() > 1.5
    error = (again - latents).abs()
    assert error.mean() < 0.18, error.mean()
    codec_without_phases = type(codec)(rounds=0)
    untreated = (codec.encode(codec_without_phases.decode(latents)) - latents).abs()
    assert error.mean() < 0.4 * untreated.mean()


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(1, 5000), batch=st.integers(1, 3))
def test_frames_are_samples_over_hop_rounded_up(codec, samples, batch):
    wav = torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(samples))
    latents = codec.encode(wav)
    frames = math.ceil(samples / 320)
    assert latents.shape == (batch, 128, frames)
    assert latents.isfinite().all()
    assert latents.max() > -5  # short audio is not lost in its padding
    quick = type(codec)(rounds=1)
    assert quick.decode(latents).shape == (batch, 1, frames * 320)


def test_ends_of_a_cut_carry_no_click(codec):
    # A low sine cut anywhere has nothing near 10 kHz; cut hard, its edge would splatter over the whole spectrum.
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    latents = codec.encode(torch.cos(2 * math.pi * 100 * time).float()[None, None])
    assert latents[0, 120, 0] < -4
    hard = codec.encode(torch.cat([torch.zeros(3200), torch.cos(2 * math.pi * 100 * time).float()])[None, None])
    assert hard[0, 120, 10] > latents[0, 120, 0] + 2


def test_latents_are_local_so_that_cutting_latents_is_cutting_audio(codec):
    wav = music(1.0)
    whole, part = codec.encode(wav), codec.encode(wav[..., 20 * 320 : 40 * 320])
    torch.testing.assert_close(whole[..., 23:37], part[..., 3:17], atol=1e-3, rtol=0)


def test_decode_has_the_gradient_of_its_last_inverse_transform(codec):
    latents = codec.encode(music(0.3)).double().float().requires_grad_()
    codec.decode(latents).square().sum().backward()
    assert latents.grad.isfinite().all()
    # exp makes the audio homogeneous: raising every latent by log s multiplies the audio by s, so that the
    # derivative of the energy E along the all-ones direction is 2 E (bands at the floor excepted).
    energy = codec.decode(latents.detach()).double().square().sum()
    assert latents.grad.double().sum() == pytest.approx(2 * energy.item(), rel=1e-3)


@pytest.mark.parametrize("scale", [1.0, 10.0, 1e4])
def test_latents_of_no_music_decode_to_finite_audio_with_finite_gradient(codec, scale):
    alternating = torch.tensor([-1.0, 1.0]).repeat(64)[:, None].expand(128, 9)
    latents = torch.stack([alternating, torch.randn(128, 9, generator=torch.Generator().manual_seed(5))]) * scale
    wav = codec.decode(latents.requires_grad_())
    wav.square().mean().backward()
    assert wav.isfinite().all() and latents.grad.isfinite().all()


def test_decode_is_deterministic_and_leaves_the_global_generator_alone(codec):
    latents = codec.encode(music(0.5))
    other = codec.encode(0.1 * music(0.5).flip(-1))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = codec.decode(latents)
    torch.rand(7)
    beside = codec.decode(torch.cat([other, latents]))
    torch.set_rng_state(state)
    expected_next = torch.rand(3)
    torch.set_rng_state(state)
    assert torch.equal(codec.decode(latents), first)
    assert torch.equal(torch.rand(3), expected_next)
    torch.testing.assert_close(beside[1:], first, atol=1e-4, rtol=0)


def test_autocast_does_not_coarsen_it(codec):
    wav = music(0.3)
    plain = codec.encode(wav)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(codec.encode(wav), plain)
        assert codec.decode(plain).dtype == torch.float32


def test_identity_and_registry(codec):
    assert isinstance(codec, Codec)
    assert codec.identity == codec_identity("mel_slaney") == "mel-09117f97a404a52d"  # as in earlier versions
    assert (codec.sample_rate, codec.frame_rate, codec.hop, codec.channels) == (RATE, 75, 320, 128)
    assert all(codec_class(name).name == part.name == name for name, part in CODECS.items())


def test_wrong_names_and_unwanted_weights_are_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="'mell'.*'mel'"):
        open_codec("mell")
    with pytest.raises(UserError, match="did you mean"):
        codec_identity("")
    with pytest.raises(UserError, match="no weights"):
        open_codec("mel_slaney", weights=tmp_path)
