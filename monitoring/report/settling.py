"""Checks of a run that trains by the adversarial loss alone: whether its losses settle and its samples improve."""

from statistics import fmean, pstdev

from monitoring.report.data import Points, RunData

FEWEST = 9  # logged values, three for each third of the run
STEADY = 0.25  # deviation of a settled loss over its mean
SMOOTH = 0.35  # root mean square of successive differences over the mean


def settling(run: RunData) -> list[tuple[bool, str]]:
    """(whether it is well, a sentence) for each check; nothing for runs with a regression loss or few values."""
    o = run.options
    if o["loss_weight_input"] + o["loss_weight_target"] > 0 or not o["gan_weight"]:
        return []
    checks = []
    for name, network in (("loss/d", "D"), ("loss/g_adv", "G")):
        values = [y for _, y in run.series(name)]
        if len(values) >= FEWEST:
            checks += _of_losses(values, network)
    return checks + _of_samples(run.series("val/current"))


def _of_losses(values: list[float], network: str) -> list[tuple[bool, str]]:
    third = len(values) // 3
    early, late = values[:third], values[-third:]
    size = max(fmean(map(abs, late)), 1e-12)
    spread, jumps = pstdev(late) / size, _jumps(late) / size
    before, now = (pstdev(part) for part in (early, late))
    return [
        (spread < STEADY, f"L_{network} varies by {spread:.0%} of its size in the last third of the run"),
        (jumps < SMOOTH, f"L_{network} changes by {jumps:.0%} of its size from one logged step to the next"),
        (
            now <= before,
            f"L_{network} swings {'less' if now <= before else 'more'} in the last third than in the first",
        ),
    ]


def _jumps(values: list[float]) -> float:
    return fmean((b - a) ** 2 for a, b in zip(values, values[1:], strict=False)) ** 0.5


def _of_samples(points: Points) -> list[tuple[bool, str]]:
    """The distance of generated samples from held-out ones, from the first validation to the last."""
    if len(points) < 2:
        return []
    (began, before), (ended, now) = points[0], points[-1]
    word = "fell" if now < before else "did not fall"
    epochs = f"from epoch {began:.0f} to {ended:.0f}"
    return [
        (now < before, f"The distance of generated samples from real ones {word} {epochs}: {before:.3g} to {now:.3g}")
    ]
