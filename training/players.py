"""Puts the two players together, and measures what generation must know of the data."""

import numpy as np
import torch

from config import RunConfig
from data.stream import SampleStream
from runtime.distributed import Ranks
from training.audio_losses import AudioLosses
from training.compiling import compile_networks
from training.networks import build_critic, build_guided_generator
from training.optimizers import Updater, build_optimizer
from training.state import LatentSpace
from training.steps import Game

SCALES = 512  # samples whose standard deviations are kept for generation


def build_game(config: RunConfig, ranks: Ranks, space: LatentSpace, codec=None) -> Game:
    """Networks, optimizers and wrappers on this rank's device. `codec` is needed where a loss is measured on audio."""
    generator = build_guided_generator(config).to(ranks.device)
    discriminator = build_critic(config).to(ranks.device)
    if config.compile:
        compile_networks(generator, discriminator)
    return Game(
        config=config,
        ranks=ranks,
        generator=generator,
        discriminator=discriminator,
        wrapped_generator=ranks.wrap(generator),
        wrapped_discriminator=ranks.wrap(discriminator),
        update_g=Updater(generator, build_optimizer(config, generator, config.lr, "g"), config.grad_clip),
        update_d=Updater(
            discriminator, build_optimizer(config, discriminator, config.disc_lr_value, "d"), config.disc_grad_clip
        ),
        mean_D1=space.mean_D[:, None].to(ranks.device),
        std_D1=space.std_D[:, None].to(ranks.device),
        codec=codec,
        within=space.within,
        measure_audio=AudioLosses(config, codec) if config.needs_audio else None,
    )


def latent_space(stream: SampleStream) -> LatentSpace:
    """The dataset's latents in figures; noise scales and range are those of the stream's first samples, normalised."""
    pairs = stream.pairs
    mean_D1, std_D1 = pairs.mean[:, None], pairs.std[:, None]
    scales, lowest_D, highest_D = [], np.full(len(mean_D1), np.inf), np.full(len(mean_D1), -np.inf)
    for index in range(min(SCALES, 4 * len(stream))):
        pair = [(x - mean_D1) / std_D1 for x in stream[index]]
        scales.append([float(x_DT.std()) for x_DT in pair])
        lowest_D = np.minimum(lowest_D, np.min(pair, axis=(0, 2)))
        highest_D = np.maximum(highest_D, np.max(pair, axis=(0, 2)))
    return LatentSpace(
        codec=pairs.codec_name,
        codec_identity=pairs.codec_identity,
        sample_rate=pairs.sample_rate,
        frames=stream.frames,
        mean_D=torch.from_numpy(np.asarray(pairs.mean, np.float32)),
        std_D=torch.from_numpy(np.asarray(pairs.std, np.float32)),
        noise_scales_K2=torch.tensor(scales),
        lowest_D=torch.from_numpy(lowest_D.astype(np.float32)),
        highest_D=torch.from_numpy(highest_D.astype(np.float32)),
    )
