"""Checks and speed of all devices together: every rank of torchrun runs these, rank 0 writes their rows."""

from dataclasses import replace

from bench import rank_rows
from bench.figures import Figure
from bench.gpu.parts import Part, Place
from bench.gpu.short_runs import PLAIN, STEPS, batch_of, deviation, differing_after_resume, losses


def against_one(place: Place) -> list[Figure]:
    """The losses of all ranks together, and those of a rank that trains the whole batch alone."""
    steps, batch = 3 if place.toy else STEPS, {"global_batch_size": batch_of(place.ranks)}
    alone = replace(place.ranks, rank=0, world=1, local_world=1, control=None)
    found = deviation(losses(place.ranks, steps, **PLAIN), losses(alone, steps, **PLAIN | batch))
    return [Figure(f"losses of {steps} steps on {place.ranks.world} ranks against one", found, "", "<= 1e-3")]


def resumed(place: Place) -> list[Figure]:
    title = f"weights that differ after kill and resume on {place.ranks.world} ranks, --deterministic"
    return [Figure(title, float(differing_after_resume(place.ranks)), "", "<= 0")]


def speed(place: Place) -> list[Figure]:
    return rank_rows.compared(place.ranks, place.toy)


RANKS: dict[str, Part] = {"losses of all ranks": against_one, "resume on all ranks": resumed, "speed": speed}
