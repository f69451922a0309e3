"""Audio and pictures of a run, in TensorBoard and in `samples/`: fixed-seed generations, the real clip and its codec
round trip."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from audio_codecs.base import Codec
from config import RunConfig
from data.audio import read_audio, write_wav
from data.cache import LatentPairs
from data.pairs import list_pairs
from monitoring.log import RunLog
from monitoring.pictures import encoded, spectrogram_image
from runtime import files
from runtime.seeding import Purpose, mix_seed
from synthesis.draws import plain
from synthesis.render import decode
from synthesis.sources import denormalise, noise_sources
from training.passes import in_passes
from training.state import LatentSpace

SHOWN = 2


@torch.no_grad()
def write_generations(
    log: RunLog, config: RunConfig, network, space: LatentSpace, codec, frames: int, step: int, stem: Path
) -> None:
    """Clips of one seed at every call, so that their course over a run can be followed: `<stem>_<k>.wav` and `.png`."""
    device = next(network.parameters()).device
    draws = plain(mix_seed(config.seed, Purpose.SAMPLES), SHOWN)
    sources = noise_sources(config, space, draws, frames, device)
    made_BDT = in_passes(config, lambda a, b: network(a, b).output_BDT, *sources, within=space.within)
    _write(log, "generated", decode(codec, denormalise(made_BDT, space)), space.sample_rate, step, stem)


def write_references(log: RunLog, pairs: LatentPairs, codec: Codec, folder: Path, home: Path) -> None:
    """Real validation clips, and the same as the codec plays them back: no generation can sound better."""
    shown = range(min(SHOWN, len(pairs)))
    latents = torch.from_numpy(np.stack([pairs.target(i).astype(np.float32) for i in shown]))
    _write(log, "round_trip", decode(codec, latents), codec.sample_rate, 0, home / "round_trip")
    files = {files.name: files.target for files in list_pairs(folder)}
    wavs = [read_audio(files[pairs.names[i]], codec.sample_rate) for i in shown]
    _write(log, "real", wavs, codec.sample_rate, 0, home / "real")


def _write(log: RunLog, name: str, wavs: Iterable[np.ndarray], sample_rate: int, step: int, stem: Path) -> None:
    """Raises OSError where the files cannot be written; TensorBoard has its own way with that."""
    pictures = []
    for k, wav in enumerate(map(np.nan_to_num, wavs)):
        pictures.append((wav, spectrogram_image(wav, sample_rate)))
        log.audio(f"{name}/{k}", wav, sample_rate, step)
        log.image(f"{name}/{k}", pictures[-1][1], step)
    stem.parent.mkdir(exist_ok=True)
    for k, (wav, image) in enumerate(pictures):
        write_wav(f"{stem}_{k}.wav", wav, sample_rate)
        files.write_bytes(Path(f"{stem}_{k}.png"), encoded(image))
