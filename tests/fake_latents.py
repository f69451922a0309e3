"""Latents without files or codec: what the stream and the training steps see of a dataset."""

import numpy as np


class FakePairs:
    """Stands for `kinds.audio.latent_pairs.LatentPairs`. Input i holds i + t / 1000 at frame t, its target that plus
    500, so that every value says where it came from; `random=True` draws normal numbers instead."""

    codec_name, codec_identity, sample_rate = "mel", "mel-fake", 24_000

    def __init__(
        self,
        count: int,
        frames: int = 12,
        channels: int = 4,
        random: bool = False,
        seed: int = 0,
        crop_frames: int = 0,
        labels: bool = False,
    ) -> None:
        self.frames, self.channels, self.crop_frames, self._labels = frames, channels, crop_frames or frames, labels
        self.names = [f"pair_{i:04d}" for i in range(count)]
        rng = np.random.default_rng(seed)
        shape = (2, count, channels, frames)
        if random:
            self._clips = (1.5 * rng.standard_normal(shape) + 0.5).astype(np.float32)
        else:
            role, pair, _, frame = np.indices(shape)
            self._clips = (500 * role + pair + frame / 1000).astype(np.float32)
        self.mean = self._clips.mean((0, 1, 3))
        self.std = self._clips.std((0, 1, 3))

    def __len__(self) -> int:
        return len(self.names)

    def input(self, i: int) -> np.ndarray:
        return self._clips[0, i]

    def target(self, i: int) -> np.ndarray:
        return self._clips[1, i]

    @property
    def shape(self) -> tuple[int, int]:
        return self.channels, self.crop_frames

    def cut(self, whole_DT: np.ndarray, draw: int | None = None) -> np.ndarray:
        spare = self.frames - self.crop_frames
        start = spare // 2 if draw is None else draw % (spare + 1)
        return whole_DT[:, start : start + self.crop_frames]

    def labels(self, i: int) -> dict[str, float]:
        """The pair's own number, where labels were asked for."""
        return {"number": float(i)} if self._labels else {}
