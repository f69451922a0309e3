"""The ladder: sets of clips whose order from music to noise is known, and the figures that must put them in it.

A figure of quality means nothing by itself. Beside the same figure for real music, for the codec's round trip and for
several kinds of noise it does, provided that it ranks these rightly: `ORDER` says what rightly is, and `misordered`
tells where a ladder breaks it. Every rung is made from the same training clips, so each has the same number of clips
and the rungs differ in one thing only; all are measured against held-out clips.

    floor             training clips as they are: what is left when nothing is wrong
    round_trip        encoded and decoded by the codec: no generator of its latents does better
    time_shuffled     grains of 85 ms in random order: each moment is music, their order is not
    phase_randomised  the clip's spectrum with random phases: its notes, all sounding all the time
    gaussian          latent frames drawn from a Gaussian of their mean and full covariance: coloured noise
    one_clip          one clip, repeated: the extreme of mode collapse
    white_noise       level matched

The rungs of audio are made in `kinds.audio.rungs`.
"""

TIE = 0.05  # share of the way from floor to white noise by which a "no better than" may be missed

RUNGS = ("floor", "round_trip", "time_shuffled", "phase_randomised", "gaussian", "one_clip", "white_noise")

_BROKEN = ("time_shuffled", "phase_randomised", "gaussian")
_DISTANCES = [
    ("floor", "<=", "round_trip"),
    *(("round_trip", "<", rung) for rung in (*_BROKEN, "one_clip")),
    *((rung, "<", "white_noise") for rung in _BROKEN),
]
# What music has and noise lacks may be used up before white noise is reached, hence "<=" at that end.
_QUALITIES = [
    ("round_trip", "<=", "floor"),
    *((rung, "<", "round_trip") for rung in _BROKEN),
    *(("white_noise", "<=", rung) for rung in _BROKEN),
]
# The floor holds training clips themselves, so it is the positive control of copying.
_NOVELTY = [
    ("floor", "<", "round_trip"),
    ("one_clip", "<", "round_trip"),
    *(("round_trip", "<", rung) for rung in _BROKEN),
    *((rung, "<", "white_noise") for rung in _BROKEN),
]
_VARIETY = [
    *(("one_clip", "<", rung) for rung in RUNGS if rung != "one_clip"),
    ("gaussian", "<", "floor"),
    ("white_noise", "<", "floor"),
]
ORDER = {
    "frechet": _DISTANCES,
    "kernel": _DISTANCES,
    # Density asks whether clips look real, not whether they differ: one real clip may score above music (Naeem et al.).
    "density": _QUALITIES,
    "coverage": [*_QUALITIES, ("one_clip", "<", "round_trip")],
    "diversity": _VARIETY,
    "nearest_train": _NOVELTY,
}


def misordered(rungs: dict[str, dict[str, float]], order: dict[str, list] | None = None) -> dict[str, list[str]]:
    """Where a ladder breaks the required order -> {figure: sentences}, empty for a sound ladder.

    rungs: {rung: {figure: value}}. Figures that were not measured are left out. `<=` forgives TIE of the span.
    """
    broken: dict[str, list[str]] = {}
    for figure, rules in (order or ORDER).items():
        if figure not in rungs["floor"]:
            continue
        span = abs(rungs["floor"][figure] - rungs["white_noise"][figure])
        for low, relation, high in rules:
            a, b = rungs[low][figure], rungs[high][figure]
            if not (a < b if relation == "<" else a <= b + TIE * span):
                broken.setdefault(figure, []).append(f"{low} {a:.4g} is not {relation} {high} {b:.4g}")
    return broken
