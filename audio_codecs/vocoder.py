"""A network from log-mel latents to waveforms: blocks at frame rate, then one inverse short-time Fourier transform.

As Vocos (Siuzdak 2023, arXiv 2306.00814), with two carriers. From latents alone, a network that is the same at every
frame cannot know where in its period a held tone is; it gives the tone the same phase in each frame, and the sum
repeats with the frames. So phases go on from frame to frame along the partials (`audio_codecs.phases`), and where the
magnitudes are smooth there is white noise (`audio_codecs.noise_filling`); neither needs anything learned. The network
says the magnitude of each bin, and by which angle its phase differs from the tracked one.

Shapes: B batch, T frames (75/s), D mel bands (128), F frequency bins (1025), H audio samples of a frame (320),
N audio samples.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from audio_codecs.noise_filling import filled, noise_share, noise_spectrum
from audio_codecs.phases import tracked_phases
from audio_codecs.spectrum_decoder import SpectrumDecoder
from audio_codecs.stft import HOP, Stft


class Predicted(NamedTuple):
    """What the network says of each bin, [B, T, F] each: natural logarithm of the magnitude, and angle to the tracked
    phase in radians."""

    log_BTF: Tensor
    angle_BTF: Tensor

    def spectrum(self, phase_BTF: Tensor, noise_BTF: Tensor) -> Tensor:
        """Complex [B, T, F], of tracked phases as unit complex numbers and noise of mean power 1."""
        share_BTF = noise_share(self.log_BTF.detach())
        rotated_BTF = torch.complex(self.angle_BTF.cos(), self.angle_BTF.sin()) * phase_BTF
        return self.log_BTF.exp() * filled(rotated_BTF, share_BTF, noise_BTF)


class Vocoder(SpectrumDecoder):
    """forward(latents_BDT, _) -> waveforms folded into frames, [B, H, T]; latents normalised by LOG_CENTRE, LOG_SCALE.

    At first it makes the latents, spread over the bins.
    """

    heads = 2

    def forward(self, latents_BDT: Tensor, _: Tensor | None = None) -> Tensor:
        predicted = self.predictions(latents_BDT)
        stft = Stft(latents_BDT.device)
        with torch.no_grad():
            phase_BTF = tracked_phases(predicted.log_BTF.exp())
            noise_1TF = noise_spectrum(stft, 0, latents_BDT.shape[2])
        with torch.autocast(latents_BDT.device.type, enabled=False):
            wav_BN = stft.to_audio(predicted.spectrum(phase_BTF, noise_1TF))
        return folded(wav_BN)

    def predictions(self, latents_BDT: Tensor) -> Predicted:
        """Of normalised latents, float32."""
        change_BTF, angle_BTF = self.predicted(latents_BDT).chunk(2, dim=-1)
        with torch.autocast(latents_BDT.device.type, enabled=False):
            return Predicted(self.log_magnitudes(latents_BDT, change_BTF), angle_BTF)


def folded(wav_BN: Tensor) -> Tensor:
    """Audio of whole frames as [B, H, T]: what a sample of a waveform is in training."""
    return wav_BN.unflatten(1, (-1, HOP)).transpose(1, 2)


def unfolded(wav_BHT: Tensor) -> Tensor:
    """The inverse of `folded`, [B, N]."""
    return wav_BHT.transpose(1, 2).flatten(1)
