"""What a run survives on the device: being killed, and too large a batch."""

import pytest
import torch

from bench.gpu.parts import Place, forget
from bench.gpu.short_runs import differing_after_resume, exact_run
from bench.workloads import advance, open_run
from training.out_of_memory import explain

pytestmark = pytest.mark.gpu


def test_a_resumed_run_is_the_uninterrupted_one(place, measured):
    found = differing_after_resume(place.ranks)
    measured("weights that differ after kill and resume, --deterministic", found, "<= 0")


def test_too_large_a_batch_is_one_sentence_and_the_batch_it_names_fits(place, measured):
    title = "steps with the batch that the sentence on memory names"
    if place.toy:
        named = explain(exact_run(place.ranks).config, 1, place.device, 0)
        assert "--global_batch_size 2 (2 per device) would probably fit" in named
        return
    peaks = [_peak(batch, place) for batch in (32, 64)]
    total = torch.cuda.get_device_properties(place.device).total_memory
    forget()
    torch.cuda.set_per_process_memory_fraction(sum(peaks) / 2 / total, place.device)
    try:
        named = _starved(64, place)
        assert "--global_batch_size 32 (32 per device)" in named
        _peak(32, place)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, place.device)
    measured(title, 2, ">= 1", note=named)


def _peak(batch: int, place: Place) -> int:
    """Bytes that two steps of a run take on the device."""
    forget()
    torch.cuda.reset_peak_memory_stats(place.device)
    advance(open_run("demo", place.ranks, global_batch_size=batch), 2)
    return torch.cuda.max_memory_allocated(place.device)


def _starved(batch: int, place: Place) -> str:
    """The sentence on a run that does not fit."""
    forget()
    run = open_run("demo", place.ranks, global_batch_size=batch)
    with pytest.raises(torch.OutOfMemoryError):
        advance(run, 2)
    return explain(run.config, 1, place.device, sum(p.numel() for p in run.trainer.generator.parameters()))
