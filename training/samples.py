"""Generated samples of a run, from the same noise at every call, so that they can be compared over a run."""

import torch
from torch import Tensor

from models.conditions import conditions_for
from runtime.seeding import Purpose, mix_seed
from synthesis.draws import Draw, plain
from synthesis.generation import as_tensors, labels_of
from synthesis.sampler import sample
from synthesis.sources import NoiseMix
from training.label_samples import write_by_label
from training.run import Run


def shown(run: Run) -> int:
    """How many samples are written."""
    return run.config.logging.sample_num


@torch.no_grad()
def write_samples(run: Run, epoch: int) -> None:
    """Files `samples/epoch_<epoch>_<k>.*`, and TensorBoard. A full disk only gives a warning."""
    if not run.ranks.is_main or run.decoder is None:
        return
    trainer, network, space = run.trainer, run.average.module, run.space
    alpha, channels = 1.0, trainer.sources.channels
    if trainer.observe:
        sources = _from_held_out(run)
    elif channels is None:
        sources = _from_noise(run)
    else:
        alpha = run.config.curriculum.gan_noise_ceiling
        sources = _from_music(run, alpha)

    labels = _labels(run, sources[0]) if channels is None and not trainer.observe else {}

    def make(input_BDT, target_BDT, alpha):
        more = conditions_for(network, trainer.conditioning(alpha, labels, input_BDT))
        return network(input_BDT, target_BDT, **more).output_BDT

    made_BDT = sample(make, *sources, alpha, run.config.sampling.passes, channels, space.within)
    samples_BDT, stem = space.denormalise(made_BDT), run.folder / "samples" / f"epoch_{epoch:04d}"
    run.progress.guard(lambda: run.decoder.write(run.log, "generated", samples_BDT, run.counters.step, stem))
    if not trainer.observe and channels is None:  # by label they are made of noise alone
        run.progress.guard(lambda: write_by_label(run, epoch))


def _from_noise(run: Run) -> tuple[Tensor, Tensor]:
    trainer, space = run.trainer, run.space
    return trainer.sources.from_noise(space, _draws(run, shown(run)), space.shape, trainer.ranks.device)


def _labels(run: Run, like_BDT: Tensor) -> dict[str, Tensor]:
    """Of training samples, as generate.py draws them."""
    known = run.trainer.conditioning.known_labels
    return as_tensors(labels_of(run.space, known, _draws(run, len(like_BDT))), known, like_BDT)


def _from_music(run: Run, alpha: float) -> tuple[Tensor, Tensor]:
    """Held-out samples with noise in some of their channels."""
    pairs, count = run.held_out, min(shown(run), len(run.held_out))
    reads = (pairs.input, pairs.input if run.config.data.unity_test else pairs.target)
    clean = [
        torch.stack([torch.from_numpy(pairs.cut(read(i)).astype("float32")) for i in range(count)]) for read in reads
    ]
    sources = map(run.trainer.normalise, clean)
    return run.trainer.sources.from_music(*sources, _draws(run, count), NoiseMix(alpha))


def _draws(run: Run, count: int) -> list[Draw]:
    return plain(mix_seed(run.trainer.seed, Purpose.SAMPLES), count)


def _from_held_out(run: Run) -> tuple[Tensor, Tensor]:
    """What a generator that does not start from noise starts from: the first held-out samples."""
    pairs = run.held_out
    first = [torch.from_numpy(pairs.cut(pairs.target(i)).astype("float32")) for i in range(min(shown(run), len(pairs)))]
    source_BDT, _ = run.trainer.observe(run.trainer.normalise(torch.stack(first)))
    return source_BDT, source_BDT


def write_references(run: Run) -> None:
    """Real validation samples, and their reconstruction by the decoder: no generated sample can be better."""
    if run.decoder is None or not run.ranks.is_main or not run.config.logging.sample_every:
        return
    home, count = run.folder / "samples", min(shown(run), len(run.held_out))
    run.progress.guard(lambda: run.decoder.write_references(run.log, run.held_out, count, home))
