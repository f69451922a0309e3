"""A run that is taken up again: what it keeps of its beginning."""

import torch
from fake_latents import FakePairs
from training_parts import ALONE, CHANNELS, FRAMES, tiny_config

import training.build
from runtime.signals import StopRequest
from train_simple_worker import finish, train


def run_with(pairs: FakePairs, monkeypatch, **options):
    held_out = FakePairs(4, FRAMES, CHANNELS, random=True, seed=99)
    monkeypatch.setattr(training.build, "open_pairs", lambda *_, **__: (pairs, held_out))
    run = training.build.build(tiny_config(**options), ALONE, StopRequest())
    try:
        train(run)
        finish(run)
    finally:
        run.lock.release()
    return run


def test_a_run_keeps_its_own_view_of_latents_when_music_is_added(monkeypatch, tmp_path):
    """Training, validation and generation go on with the statistics that the networks grew up with."""
    options = {"checkpoint_dir": str(tmp_path), "epochs": 2, "sample_every": 0, "num_threads": 1, "log_every": 1}
    before, more = (FakePairs(count, FRAMES, CHANNELS, random=True, seed=count) for count in (8, 12))
    first = run_with(before, monkeypatch, **options)
    second = run_with(more, monkeypatch, **options | {"epochs": 3, "resume": "auto"})
    assert second.counters.step > first.counters.step
    assert not torch.equal(torch.from_numpy(more.mean), torch.from_numpy(before.mean))
    for run in (first, second):
        torch.testing.assert_close(run.game.mean_D1[:, 0], torch.from_numpy(before.mean))
        torch.testing.assert_close(run.game.std_D1[:, 0], torch.from_numpy(before.std))
        assert torch.equal(run.space.mean_D, run.game.mean_D1[:, 0])
    wild = 100 * torch.randn(2, CHANNELS, 9)
    assert torch.equal(second.game.within(wild), first.game.within(wild))
