"""Losses on decoded audio: which are measured, how they add up, and who receives the gradient."""

import pytest
import torch
from training_parts import tiny_config

from kinds.audio.losses import AudioLosses
from losses import reconstruction, waveform

RATE, FRAMES = 24_000, 60


class LinearCodec:
    """Decodes by repeating channel 0 for a frame's samples: a chain of tones, as far as a loss can tell."""

    sample_rate, hop = RATE, 320

    def decode(self, latents_BDT: torch.Tensor) -> torch.Tensor:
        return latents_BDT[:, :1].repeat_interleave(self.hop, dim=2)


def latents(seed: int) -> torch.Tensor:
    return torch.randn(3, 4, FRAMES, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def clips() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return latents(0).requires_grad_(), latents(1).requires_grad_(), latents(2).requires_grad_()


OPTIONS = {
    "loss/spectral": {"loss_weight_spectral": 0.7},
    "loss/mel": {"loss_weight_mel": 0.7},
    "loss/envelope_correlation": {"corr_weight": 0.7},
    "loss/audio_input": {"recon_domain": "audio", "loss_weight_input": 0.7, "loss_weight_target": 0.0},
    "loss/audio_target": {"recon_domain": "audio", "loss_weight_input": 0.0, "loss_weight_target": 0.7},
}


def losses_for(codec: LinearCodec, **options) -> AudioLosses:
    """As the decoder builds them from a run's options."""
    config = tiny_config(**options)
    measure = config.chosen("loss_reconstruction").part.load()
    return AudioLosses(config.chosen("kind").options, config.regression, measure, codec)


def by_hand(name: str, codec: LinearCodec, output, source, target) -> torch.Tensor:
    y, a, b = (codec.decode(x) for x in (output, source, target))
    if name == "loss/spectral":
        return waveform.multi_resolution_stft(y, b)
    if name == "loss/envelope_correlation":
        return waveform.envelope_correlation(y, a, b)
    if name == "loss/mel":
        from audio_codecs.filters import slaney_filters

        return waveform.log_mel_l1(y, b, slaney_filters(RATE, 1024, 80).float())
    return reconstruction.rmse(y, a if name == "loss/audio_input" else b)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_loss_is_measured_where_its_weight_is_positive(name, clips):
    codec = LinearCodec()
    measure = losses_for(codec, **OPTIONS[name])
    total_B, parts = measure(*clips)
    expected_B = by_hand(name, codec, *clips)
    assert torch.allclose(parts[name], expected_B)
    assert torch.allclose(total_B, 0.7 * expected_B)
    assert set(parts) - {name} <= {"loss/audio_input", "loss/audio_target"}
    assert total_B.shape == (3,)


def test_the_total_is_the_weighted_sum(clips):
    weights = {"loss_weight_spectral": 0.5, "loss_weight_mel": 2.0, "corr_weight": 0.25}
    total_B, parts = losses_for(LinearCodec(), **weights)(*clips)
    expected_B = 0.5 * parts["loss/spectral"] + 2.0 * parts["loss/mel"] + 0.25 * parts["loss/envelope_correlation"]
    assert torch.allclose(total_B, expected_B)


def test_the_gradient_goes_to_the_output_alone(clips):
    output, source, target = clips
    weights = {"loss_weight_spectral": 0.5, "loss_weight_mel": 2.0, "corr_weight": 0.25, "recon_domain": "audio"}
    losses_for(LinearCodec(), **weights)(*clips)[0].sum().backward()
    assert output.grad[:, 0].abs().max() > 0
    assert source.grad is None
    assert target.grad is None


def test_a_perfect_output_costs_nothing_but_its_likeness(clips):
    _, source, target = clips
    measure = losses_for(LinearCodec(), loss_weight_mel=1.0, loss_weight_spectral=1.0, corr_weight=1.0)
    _, parts = measure(target, source, target)
    assert parts["loss/mel"].abs().max() < 1e-6
    assert parts["loss/spectral"].abs().max() < 1e-4
    assert parts["loss/envelope_correlation"].min() > 0.9
