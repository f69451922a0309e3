"""Parts of a user's own, as a module of theirs registers them: one definition and one registry line each.

Not imported by the tests: the programs load it by the environment variable NOISE2MUSIC_PLUGINS.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus

from audio_codecs.mel import MelCodec
from audio_codecs.options import CODECS
from curriculum.options import DECAYS
from curriculum.schedules import ConstantRate
from kinds.base_options import KindOptions
from kinds.options import CONDITIONS, KINDS
from losses.adversarial import Objective
from losses.options import OBJECTIVES
from models.options import DISCRIMINATORS, GENERATORS
from registry import Options, opt


class ToyGeneratorOptions(Options):
    """toy generator"""

    toy_hidden: int = opt(8, "hidden channels of the toy", ge=1, shapes_run=True)


class ToyGenerator(nn.Module):
    """Mixes channels at every position alike, whatever the number of axes; a condition shifts what is hidden."""

    takes_conditions = True

    def __init__(self, options: ToyGeneratorOptions, channels: int):
        super().__init__()
        self.hidden = nn.Linear(2 * channels, options.toy_hidden)
        self.shift = nn.Linear(1, options.toy_hidden)
        self.output = nn.Linear(options.toy_hidden, channels)

    def forward(self, input, target, conditions=None):
        x = self.hidden(torch.cat([input, target], dim=1).movedim(1, -1))
        for value_B in (conditions or {}).values():
            x = x + self.shift(value_B[:, None]).view(len(x), *[1] * (x.ndim - 2), -1)
        return self.output(x.tanh()).movedim(-1, 1)


GENERATORS.add("toy", ToyGenerator, ToyGeneratorOptions)


class ToyDiscriminatorOptions(Options):
    """toy discriminator"""

    toy_slope: float = opt(0.1, "slope of the toy's logits", gt=0, shapes_run=True)


class ToyDiscriminator(nn.Module):
    """The mean over positions, squared and weighed."""

    def __init__(self, options: ToyDiscriminatorOptions, channels: int, final_bias: bool):
        super().__init__()
        self.slope, self.final = options.toy_slope, nn.Linear(channels, 1, bias=final_bias)

    def forward(self, x, copies=1, return_features=False):
        feature = x.flatten(2).square().mean(2)
        logits_B = self.slope * self.final(feature)[:, 0]
        return (logits_B, [feature]) if return_features else logits_B


DISCRIMINATORS.add("toy", ToyDiscriminator, ToyDiscriminatorOptions)


class ToyObjectiveOptions(Options):
    """toy objective"""

    toy_margin: float = opt(0.5, "margin of the toy objective", ge=0)


def toy_objective(options: ToyObjectiveOptions) -> Objective:
    margin = options.toy_margin
    return Objective(
        lambda real_B, fake_B: softplus(margin + fake_B - real_B),
        lambda real_B, fake_B: softplus(real_B - fake_B),
        needs_real_in_generator=True,
        compares_pairs=True,
    )


OBJECTIVES.add("toy", toy_objective, ToyObjectiveOptions, final_bias=False)


class HalvingOptions(Options):
    """halving"""

    toy_halvings: int = opt(2, "how often the learning rate is halved over a run", ge=1)


class HalvingRate(ConstantRate):
    def decay(self, share: float) -> float:
        return 0.5 ** int(self.options.toy_halvings * share)


DECAYS.add("halving", HalvingRate, HalvingOptions)


class ToyCodecOptions(Options):
    """toy codec"""

    toy_gain: float = opt(2.0, "factor on the toy codec's latents", gt=0)


class ToyCodec(MelCodec):
    """`mel`, its latents multiplied."""

    name = "toy"

    def __init__(self, gain: float, device: str):
        super().__init__(device)
        self.gain, self.identity = gain, f"toy-{gain:g}"

    @classmethod
    def open(cls, weights, device, options):
        return cls(options.toy_gain, device)

    @classmethod
    def identify(cls, weights=None, options=None):
        return f"toy-{options.toy_gain:g}" if options else super().identify(weights)

    def encode(self, wav):
        return self.gain * super().encode(wav)

    def decode(self, latents):
        return super().decode(latents / self.gain)


CODECS.add("toy", ToyCodec, ToyCodecOptions)


class SquaresOptions(KindOptions):
    """squares"""

    toy_count: int = opt(12, "how many squares there are", ge=4)


class Squares:
    """Squares of numbers [2, 4, 4]; a file of the dataset's folder says how large they are."""

    def __init__(self, split: str, count: int, scale: float):
        rng = np.random.default_rng(len(split))
        self.samples = (scale * rng.standard_normal((count, 2, 2, 4, 4))).astype(np.float32)
        self.names = [f"{split}_{i}" for i in range(count)]
        self.shape, self.mean, self.std = (2, 4, 4), np.zeros(2, np.float32), np.full(2, scale, np.float32)

    def __len__(self):
        return len(self.samples)

    def input(self, i):
        return self.samples[i, 0]

    def target(self, i):
        return self.samples[i, 1]

    def cut(self, whole, draw=None):
        return whole

    def labels(self, i):
        return {"bright": float(self.samples[i].mean() > 0)}


class SquaresKind:
    unit, identity, rate, about = "square", "squares", 4.0, {"colours": 2}

    def __init__(self, options: SquaresOptions, choices):
        self.options = options

    def open(self, data, build):
        with open(f"{data.dataset_folder}/scale.txt") as file:
            scale = float(file.read())
        return Squares("train", self.options.toy_count, scale), Squares("val", 6, scale)

    def features(self, x):
        return x.flatten(2).mean(2)

    def open_decoder(self, space, device):
        return SquaresDecoder()


class SquaresDecoder:
    def write(self, log, name, samples, step, stem):
        stem.parent.mkdir(exist_ok=True)
        for k, sample in enumerate(samples):
            np.save(f"{stem}_{k}.npy", sample.cpu().numpy())

    def write_references(self, log, pairs, count, home):
        home.mkdir(exist_ok=True)
        for k in range(count):
            np.save(home / f"real_{k}.npy", pairs.target(k))


KINDS.add("squares", SquaresKind, SquaresOptions)

CONDITIONS.add("loud", lambda options, alpha_B, labels: (alpha_B > 0.25).float())
CONDITIONS.add("bright", lambda options, alpha_B, labels: labels.get("bright", torch.zeros_like(alpha_B)))
