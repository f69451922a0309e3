"""The training step of a system without a latent cache: in every step EnCodec encodes both clips and decodes the
output, and regression and spectral losses are measured on audio. Networks and adversarial losses are the same.

B samples, N audio samples.
"""

import torch
from torch import Tensor

from audio_codecs.encodec_weights import ARCHITECTURE
from bench.hand_loop import HandLoop
from config import RunConfig
from losses import reconstruction, waveform

SPECTRAL_WEIGHT = 0.1


class CodecLoop(HandLoop):
    """A hand-written loop over waveforms; EnCodec's weights are random, which costs the same."""

    def __init__(self, config: RunConfig, batch: int, frames: int, device: torch.device) -> None:
        from transformers.models.encodec.configuration_encodec import EncodecConfig
        from transformers.models.encodec.modeling_encodec import EncodecDecoder, EncodecEncoder

        shape = EncodecConfig(**ARCHITECTURE)
        self.encoder = EncodecEncoder(shape).to(device).eval().requires_grad_(False)
        self.decoder = EncodecDecoder(shape).to(device).eval().requires_grad_(False)
        for module in self.decoder.modules():
            if isinstance(module, torch.nn.LSTM):
                module.train()  # cuDNN's LSTM has no backward in evaluation mode
        self.wavs = 0.1 * torch.randn(2 * batch, 2, 1, 320 * frames, device=device)
        super().__init__(config, torch.zeros(2 * batch, 2, 128, frames, device=device), batch)

    def data(self) -> tuple[Tensor, Tensor, Tensor]:
        self.source_B1N, self.target_B1N = (self.wavs[: self.batch, k] for k in (0, 1))
        with torch.no_grad():
            source, target = self.encoder(self.source_B1N), self.encoder(self.target_B1N)
        return source, target, target.roll(-1, 0)

    def generator_update(self, source: Tensor, target: Tensor, real: Tensor, fake: Tensor) -> None:
        o, weights = self.config.optimizer, self.config.regression.weights
        output_B1N = self.decoder(fake)[..., : self.source_B1N.shape[-1]]
        loss = weights[0] * reconstruction.rmse(output_B1N, self.source_B1N).mean()
        loss = loss + weights[1] * reconstruction.rmse(output_B1N, self.target_B1N).mean()
        loss = loss + SPECTRAL_WEIGHT * waveform.multi_resolution_stft(output_B1N, self.target_B1N).mean()
        self.critic.requires_grad_(False)
        adversarial = self.objective.generator(None, self.critic(fake)).mean()
        loss = loss + self.config.adversarial.gan_weight * adversarial
        self.critic.requires_grad_(True)
        self.update(loss, self.generator, self.optimizer_g, o.grad_clip)
