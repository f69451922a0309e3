"""Losses on decoded audio, for any codec."""

from collections.abc import Callable

import torch
from torch import Tensor

from audio_codecs.base import Codec
from audio_codecs.filters import slaney_filters
from kinds.audio.options import AudioOptions
from losses import waveform
from losses.options import RegressionOptions

MEL_BANDS, MEL_FFT = 80, 1024


class AudioLosses:
    """Called with latents `[B, D, T]` of output, clean input and clean target (denormalised): decodes them and returns
    the weighted loss per sample and the single losses per sample, by name."""

    def __init__(
        self,
        options: AudioOptions,
        regression: RegressionOptions,
        measure: Callable[[Tensor, Tensor], Tensor],
        codec: Codec,
    ) -> None:
        self._options, self._regression, self._measure, self._codec = options, regression, measure, codec
        self._filters_MF = slaney_filters(codec.sample_rate, MEL_FFT, MEL_BANDS).float()

    def __call__(self, output_BDT: Tensor, input_BDT: Tensor, target_BDT: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        o = self._options
        output = self._codec.decode(output_BDT)
        with torch.no_grad():
            target = self._codec.decode(target_BDT)
            needs_input = o.regresses_decoded or o.corr_weight > 0
            source = self._codec.decode(input_BDT) if needs_input else None
        terms: dict[str, tuple[float, Tensor]] = {}
        if o.regresses_decoded:
            terms["loss/audio_input"] = self._regression.loss_weight_input, self._measure(output, source)
            terms["loss/audio_target"] = self._regression.loss_weight_target, self._measure(output, target)
        if o.loss_weight_spectral > 0:
            terms["loss/spectral"] = o.loss_weight_spectral, waveform.multi_resolution_stft(output, target)
        if o.loss_weight_mel > 0:
            terms["loss/mel"] = o.loss_weight_mel, waveform.log_mel_l1(output, target, self._filters_MF)
        if o.corr_weight > 0:
            terms["loss/envelope_correlation"] = o.corr_weight, waveform.envelope_correlation(output, source, target)
        total_B = sum(weight * loss_B for weight, loss_B in terms.values())
        return total_B, {name: loss_B for name, (_, loss_B) in terms.items()}
