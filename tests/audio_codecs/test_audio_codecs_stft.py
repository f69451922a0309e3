"""Parts of the short-time Fourier transform."""

import torch

from audio_codecs.stft import absolute


def test_absolute_values_are_those_of_torch_with_and_without_gradients():
    spectrum = torch.fft.rfft(torch.randn(3, 500, generator=torch.Generator().manual_seed(1)))
    spectrum[0, 0] = 0
    torch.testing.assert_close(absolute(spectrum), spectrum.abs(), rtol=1e-6, atol=0)
    asked = spectrum.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(absolute(asked).sum(), asked)
    assert gradient.isfinite().all() and gradient[0, 0] == 0 and gradient.abs().max() > 0.9
