"""One sample for each label that a generator can be asked for, all from the same noise."""

import json

import torch

from models.conditions import conditions_for, takes_conditions
from runtime import files
from runtime.seeding import Purpose, mix_seed
from synthesis.draws import plain
from synthesis.labels import Vocabulary
from synthesis.sampler import sample
from training.run import Run

MOST = 24
NAMES = "labels.json"


def askable(vocabulary: Vocabulary) -> list[tuple[str, str, float]]:
    """(name, value in words, value as networks take it): every value of a label, or for numbers one deviation below and
    above the mean. Of more than `MOST`, the last values of each label are left out, so that all labels have a share."""
    by_label = [_values(name, about) for name, about in vocabulary.items()]
    shares = range(MOST, 0, -1)
    share = next((n for n in shares if sum(min(n, len(values)) for values in by_label) <= MOST), 1)
    return [asked for values in by_label for asked in values[:share]][:MOST]


def _values(name, about):
    if "values" in about:
        return [(name, str(value), float(k)) for k, value in enumerate(about["values"])]
    return [(name, f"{value:.4g}", value) for value in (about["mean"] - about["std"], about["mean"] + about["std"])]


@torch.no_grad()
def write_by_label(run: Run, epoch: int) -> None:
    """Files `samples/label_<k>_0.*` and their labels in `samples/labels.json`, in place of those of earlier epochs;
    nothing for a generator without labels. Raises OSError where they cannot be written."""
    trainer, network, space = run.trainer, run.average.module, run.space
    asked = askable(trainer.conditioning.known_labels) if takes_conditions(network) else []
    if not asked:
        return
    draws = plain(mix_seed(trainer.seed, Purpose.SAMPLES), 1) * len(asked)
    sources = trainer.sources.from_noise(space, draws, space.shape, trainer.ranks.device)
    unknown_B = sources[0].new_full((len(asked),), torch.nan)
    labels = {name: unknown_B.clone() for name, _, _ in asked}
    for k, (name, _, value) in enumerate(asked):
        labels[name][k] = value

    def make(input_BDT, target_BDT, alpha):
        more = conditions_for(network, trainer.conditioning(alpha, labels, input_BDT))
        return network(input_BDT, target_BDT, **more).output_BDT

    samples_BDT = space.denormalise(sample(make, *sources, steps=run.config.sampling.passes, within=space.within))
    names, home = [f"{name}={value}" for name, value, _ in asked], run.folder / "samples"
    for k, name in enumerate(names):
        run.decoder.write(run.log, f"label {name}", samples_BDT[k : k + 1], run.counters.step, home / f"label_{k}")
    files.write_bytes(home / NAMES, json.dumps({"epoch": epoch, "labels": names}).encode())
