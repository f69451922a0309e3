"""Audio latents as a kind of data: pairs of clips, encoded once by a codec that stays out of the training loop.

Legend: B clips, D latent channels, T frames, N audio samples, F statistics.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from audio_codecs import codec_class, open_codec
from kinds.audio.decoder import AudioDecoder
from kinds.audio.encode import LATENTS
from kinds.audio.latent_pairs import LatentPairs, open_pairs
from kinds.audio.options import AudioOptions
from kinds.options import DataOptions
from registry import Chosen
from synthesis.space import Space

SLOW_FRAMES = (8, 32)  # about 0.1 s and 0.4 s


class AudioKind:
    """See `kinds.base.Kind`."""

    unit = "s"

    def __init__(self, options: AudioOptions, choices: Mapping[str, Chosen] | None = None) -> None:
        codec = (choices or {}).get("codec")
        self._options, self._codec_options = options, codec.options if codec else None
        self.identity, self.rate, self.about = "", 0.0, {}
        self._val_dir: Path | None = None

    def open(self, data: DataOptions, build: bool) -> tuple[LatentPairs, LatentPairs]:
        """Latents [D, T] of consecutive clips."""
        o = self._options
        splits = open_pairs(
            data.dataset_folder,
            data.train_dir,
            data.val_dir,
            o.codec,
            o.codec_weights,
            build=build,
            cache_dir=os.environ.get(LATENTS),
            codec_options=self._codec_options,
        )
        for pairs in splits:
            pairs.crop_to(round(o.crop_seconds * self._rate_of(pairs)))
        train = splits[0]
        self.identity, self.rate = train.codec_identity, self._rate_of(train)
        self.about = {"codec": train.codec_name, "sample_rate": train.sample_rate}
        if vocabulary := getattr(train, "vocabulary", {}):
            self.about["labels"] = vocabulary
        self._val_dir = Path(data.val_dir or Path(data.dataset_folder) / "val")
        return splits

    @staticmethod
    def _rate_of(pairs: LatentPairs) -> float:
        return codec_class(pairs.codec_name).frame_rate

    def features(self, x_BDT: Tensor) -> Tensor:
        """[B, 4 D]: mean and deviation over time, and the deviation of averages over 8 and 32 frames."""
        slow = [_slow_std(x_BDT, frames) for frames in SLOW_FRAMES]
        return torch.cat([x_BDT.mean(-1), x_BDT.std(-1, correction=0), *slow], dim=1)

    def open_decoder(self, space: Space, device: str) -> AudioDecoder:
        """The codec's decoder."""
        codec = open_codec(space.about["codec"], self._options.codec_weights, device, self._codec_options)
        return AudioDecoder(codec, self._options, self._val_dir)


def _slow_std(x_BDT: Tensor, frames: int) -> Tensor:
    frames = min(frames, x_BDT.shape[-1])
    return avg_pool1d(x_BDT, frames, ceil_mode=True).std(-1, correction=0)
