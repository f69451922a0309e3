"""The losses that are measured on decoded audio, of whatever codec the latents belong to."""

from dataclasses import dataclass

import torch
from torch import Tensor

from audio_codecs.base import Codec
from audio_codecs.mel import slaney_filters
from config import RunConfig
from losses import audio, reconstruction

MEL_BANDS, MEL_FFT = 80, 1024


@dataclass
class AudioLosses:
    """Called with latents `[B, D, T]` of output, clean input and clean target (as the codec knows them): decodes them
    and returns the weighted loss per sample and the single losses per sample, by name."""

    config: RunConfig
    codec: Codec

    def __post_init__(self) -> None:
        self._filters_MF = slaney_filters(self.codec.sample_rate, MEL_FFT, MEL_BANDS).float()

    def __call__(self, output_BDT: Tensor, input_BDT: Tensor, target_BDT: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        c = self.config
        output = self.codec.decode(output_BDT)
        with torch.no_grad():
            source, target = self.codec.decode(input_BDT), self.codec.decode(target_BDT)
        terms: dict[str, tuple[float, Tensor]] = {}
        if c.recon_domain == "audio":
            measure = reconstruction.RECONSTRUCTION[c.loss_reconstruction]
            terms["loss/audio_input"] = c.loss_weight_input, measure(output, source)
            terms["loss/audio_target"] = c.loss_weight_target, measure(output, target)
        if c.loss_weight_spectral > 0:
            terms["loss/spectral"] = c.loss_weight_spectral, audio.multi_resolution_stft(output, target)
        if c.loss_weight_mel > 0:
            terms["loss/mel"] = c.loss_weight_mel, audio.log_mel_l1(output, target, self._filters_MF)
        if c.corr_weight > 0:
            terms["loss/envelope_correlation"] = c.corr_weight, audio.envelope_correlation(output, source, target)
        total_B = sum(weight * loss_B for weight, loss_B in terms.values())
        return total_B, {name: loss_B for name, (_, loss_B) in terms.items()}
