"""From draws to audio: whole clips, pieces without seams, and the codec that the generator was trained with."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_generators import build

from audio_codecs import open_codec
from errors import UserError
from kinds.audio import render
from kinds.audio.render import clips_from_music, clips_from_noise, generate_from_noise, open_generators_codec
from synthesis import draws
from synthesis.sources import NoiseMix
from synthesis.windows import window_starts


@pytest.fixture(scope="module")
def codec():
    codec = open_codec("mel")
    codec.rounds = 2
    return codec


@pytest.fixture(scope="module")
def loaded(codec):
    return build("patch", codec)


def test_interpolated_clips_end_at_the_plain_clips_bit_for_bit(loaded, codec):
    way = list(clips_from_noise(loaded, codec, draws.interpolation(5, 6, 3), 0.5))
    for seed, clip in ((5, way[0]), (6, way[-1])):
        (plain,) = clips_from_noise(loaded, codec, draws.plain(seed, 1), 0.5)
        assert (plain == clip).all()


def test_decoding_in_pieces_shows_no_seams(codec, monkeypatch):
    """Joints of pieces keep the level of each frame as well as other frames do, against decoding all at once."""
    monkeypatch.setattr(render, "PIECE_FRAMES", 200)
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(1, 128, 60, generator=generator).repeat_interleave(25, dim=2) - 3

    def levels(wav_BN):
        return torch.as_tensor(wav_BN)[0].unflatten(0, (-1, codec.hop)).square().mean(1).sqrt().log()

    error = (levels(render.decode(codec, latents)) - levels(codec.decode(latents)[:, 0])).abs()
    starts = window_starts(1500, 200, render.PIECE_OVERLAP)
    centres = torch.tensor([(a + 200 + b) // 2 for a, b in zip(starts, starts[1:], strict=False)])
    at_seam = torch.zeros(1500, dtype=torch.bool)
    at_seam[(centres[:, None] + torch.arange(-3, 3)).flatten()] = True
    assert len(centres) > 8
    assert error[at_seam].mean() < 1.5 * error[~at_seam].mean() + 0.02


def test_clips_have_the_asked_length_and_follow_seed_and_number(loaded, codec):
    clips = list(generate_from_noise(loaded, codec, 3, 0.31, seed=5))
    assert [clip.shape for clip in clips] == [(round(0.31 * 24_000),)] * 3
    assert all(clip.dtype == np.float32 for clip in clips) and not np.array_equal(clips[0], clips[1])
    (alone,) = clips_from_noise(loaded, codec, [draws.Draw(draws.Origin(5, 2))], 0.31)
    assert np.array_equal(alone, clips[2])


def test_clips_come_in_order_from_several_threads(loaded, codec):
    some = draws.plain(5, 5)
    one, many = (list(clips_from_noise(loaded, codec, some, 0.2, workers=workers)) for workers in (1, 3))
    assert len(one) == 5 and all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))


def test_music_alone_is_one_clip_for_all_draws_and_noise_sets_them_apart(loaded, codec):
    wavs = [0.1 * np.random.default_rng(seed).standard_normal(7000).astype(np.float32) for seed in range(2)]
    clean = list(clips_from_music(loaded, codec, draws.plain(0, 2), *wavs, NoiseMix(0.0)))
    noisy = list(clips_from_music(loaded, codec, draws.plain(0, 2), *wavs, NoiseMix(0.5)))
    assert np.array_equal(*clean) and not np.array_equal(*noisy)
    assert all(clip.shape == (7000,) for clip in (*clean, *noisy))
    (cut,) = clips_from_music(loaded, codec, draws.plain(0, 1), wavs[0], wavs[1][:5000], NoiseMix(0.0))
    assert cut.shape == (5000,)


def test_the_generators_codec_is_that_of_its_training(loaded):
    assert open_generators_codec(loaded, None, "cpu").identity == loaded.space.identity
    other = dataclasses.replace(loaded, space=dataclasses.replace(loaded.space, identity="mel-other"))
    with pytest.raises(UserError, match="the generator was trained with mel-other, the codec is mel-.*--codec_weights"):
        open_generators_codec(other, None, "cpu")
    with pytest.raises(UserError, match="decoder's weights in weights.bin cannot be used"):
        open_generators_codec(loaded, "weights.bin", "cpu")


def test_a_generator_of_another_kind_makes_no_audio(loaded):
    space = dataclasses.replace(loaded.space, kind="pictures", about={})
    with pytest.raises(UserError, match="the generator of a test makes pictures, not audio"):
        open_generators_codec(dataclasses.replace(loaded, space=space), None, "cpu")
