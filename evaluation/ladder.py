"""The ladder: reference sets of clips (rungs) whose order from music to noise is known. Metrics must reproduce it.

The value of a quality metric means little by itself. It is compared with its values for real music, for the codec's
round trip and for several kinds of noise, provided that it ranks these correctly: `ORDER` holds the required order, and
`misordered` reports where it is violated. Every rung is made from the same training clips, so all have the same number
of clips and differ in one respect only; all are measured against held-out clips.

    floor             training clips as they are: the best that can be reached
    round_trip        encoded and decoded by the codec: the best that a generator of its latents can reach
    time_shuffled     grains of 85 ms in random order: each grain is music, their order is not
    phase_randomised  the clip's spectrum with random phases: its notes, all sounding all the time
    gaussian          latent frames drawn from a Gaussian of their mean and full covariance: coloured noise
    one_clip          one clip, repeated: complete mode collapse
    white_noise       white noise of the same level

The rungs of audio are made in `kinds.audio.rungs`.
"""

# Tolerance of "<=", as a share of the distance from floor to white noise. A codec that loses nothing lies at the floor,
# on either side of it: with 64 to 128 clips coverage and density of equal sets differ by up to a tenth.
TIE = 0.12

RUNGS = ("floor", "round_trip", "time_shuffled", "phase_randomised", "gaussian", "one_clip", "white_noise")

_BROKEN = ("time_shuffled", "phase_randomised", "gaussian")
_DISTANCES = [
    ("floor", "<=", "round_trip"),
    *(("round_trip", "<", rung) for rung in (*_BROKEN, "one_clip")),
    *((rung, "<", "white_noise") for rung in _BROKEN),
]
# Qualities that noise lacks may already be at their minimum before white noise, hence "<=" at that end.
_QUALITIES = [
    ("round_trip", "<=", "floor"),
    *((rung, "<", "round_trip") for rung in _BROKEN),
    *(("white_noise", "<=", rung) for rung in _BROKEN),
]
# The floor consists of training clips, so it is the positive control for copying.
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
    # Density measures whether clips are realistic, not whether they differ: one real clip may score above music
    # (Naeem et al.).
    "density": _QUALITIES,
    "coverage": [*_QUALITIES, ("one_clip", "<", "round_trip")],
    "diversity": _VARIETY,
    "nearest_train": _NOVELTY,
}


def misordered(rungs: dict[str, dict[str, float]], order: dict[str, list] | None = None) -> dict[str, list[str]]:
    """Violations of the required order -> {metric: sentences}, empty if there are none.

    rungs: {rung: {metric: value}}. Metrics that were not measured are left out. `<=` has a tolerance of TIE x the span.
    """
    broken: dict[str, list[str]] = {}
    for metric, rules in (order or ORDER).items():
        if metric not in rungs["floor"]:
            continue
        span = abs(rungs["floor"][metric] - rungs["white_noise"][metric])
        for low, relation, high in rules:
            a, b = rungs[low][metric], rungs[high][metric]
            if not (a < b if relation == "<" else a <= b + TIE * span):
                broken.setdefault(metric, []).append(f"{low} {a:.4g} is not {relation} {high} {b:.4g}")
    return broken
