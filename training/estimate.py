"""`--estimate`: the time and the memory of a whole run, from about twenty of its steps.

Later steps cost more than early ones: the discriminator joins, penalties and losses on decoded data come every few
steps. So each kind of step is timed by itself and counted over the schedule.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from data.supply import Supply
from runtime.devices import peak_memory, synchronise
from runtime.distributed import Interrupted
from runtime.seeding import seed_step
from training.checkpointing import save
from training.run import Run
from training.samples import write_samples
from training.step_plan import Work

STEPS = 20  # that are timed, shared out among the kinds of steps by how often they occur
FEWEST = 3  # of a kind
RARE = 0.01  # kinds that make up less of a run count as the slowest of the others
COUNTED = 50_000  # steps of the schedule that are looked at; of a longer run as many at random
BATCHES = 3  # of a validation

Validate = Callable[[Run, int, Callable[[], bool]], object]


@dataclass
class Costs:
    """What one run costs, in seconds.

    Attributes:
        steps: number and time of each kind of step.
        events: number and time of validations, samples and checkpoints, by name.
        start: time until the first step, first steps being slower than later ones included.
        memory: peak of this process on its device, bytes. disk: bytes of all checkpoints.
    """

    steps: dict[Work, tuple[int, float]]
    events: dict[str, tuple[int, float]] = field(default_factory=dict)
    start: float = 0.0
    memory: int = 0
    disk: int = 0

    @property
    def training(self) -> float:
        return sum(count * each for count, each in self.steps.values())

    @property
    def total(self) -> float:
        return self.start + self.training + sum(count * each for count, each in self.events.values())


def measure(run: Run, validate: Validate, began: float) -> Costs:
    """Times a new run, which must not be used afterwards; everything it writes goes into its folder.

    Args:
        validate: validates after an epoch; asks its last argument before every batch whether to go on.
        began: `time.perf_counter()` at the start of the program.

    Raises:
        Interrupted: a stop was requested.
    """
    count = step_count(run)
    kinds = kinds_of_steps(run, count)
    start = time.perf_counter() - began
    times, extra = time_steps(run, kinds)
    costs = Costs({kind: (number, times[kind]) for kind, (number, _) in kinds.items()}, start=start + extra)
    epochs, config = count * run.schedules.global_batch // len(run.stream), run.config
    validations, saves = (
        times_in(epochs, every) for every in (config.training.val_every, config.checkpoints.save_every)
    )
    run.counters.step = count  # from here on with the discriminator
    costs.events["validations"] = validations, time_validation(run, validate)
    if config.logging.sample_every and run.decoder is not None:
        costs.events["samples"] = times_in(epochs, config.logging.sample_every), timed(lambda: write_samples(run, 1))
    each = timed(lambda: (save(run, "last.pt"), run.saver.wait()))
    minutes = config.checkpoints.save_every_minutes
    on_the_way = int(costs.total / 60 / minutes) if minutes else 0
    costs.events["checkpoints"] = 1 + on_the_way + 2 * saves + validations, each
    if run.ranks.is_main:
        kept = min(saves, config.checkpoints.keep_last or saves) + 2  # and last.pt, best.pt
        costs.disk = kept * (run.folder / "last.pt").stat().st_size
    costs.memory = peak_memory(run.ranks.device)
    return costs


def step_count(run: Run) -> int:
    """Steps of the whole run; early stopping cannot be foreseen."""
    needed = -(-run.schedules.total_samples // run.schedules.global_batch)
    return min(needed, run.config.training.max_steps or needed)


def kinds_of_steps(run: Run, count: int) -> dict[Work, tuple[int, int]]:
    """How many steps of each kind a run of `count` steps has, and the number of one of them."""
    looked_at = range(count) if count <= COUNTED else sorted(random.Random(0).sample(range(count), COUNTED))
    per_step, found, example = run.schedules.global_batch, Counter(), {}
    for step in looked_at:
        work = run.schedules.work(step, step * per_step)
        found[work] += 1
        example[work] = step  # the last one: by then weights have risen from 0
    return {work: (round(number * count / len(looked_at)), example[work]) for work, number in found.most_common()}


def time_steps(run: Run, kinds: dict[Work, tuple[int, int]]) -> tuple[dict[Work, float], float]:
    """Seconds of a step of each kind, and what the first ones took more. Kinds take turns, so that another program's
    load meets all of them alike."""
    total = sum(number for number, _ in kinds.values())
    common = {kind: number / total for kind, (number, _) in kinds.items() if number / total >= RARE or len(kinds) == 1}
    left = {kind: 1 + max(FEWEST, round(STEPS * share)) for kind, share in common.items()}
    taken: dict[Work, list[float]] = {kind: [] for kind in common}
    with _Stepper(run) as one_step:
        while left:
            for kind in [*left]:
                taken[kind].append(one_step(kinds[kind][1]))
                left[kind] -= 1
                if not left[kind]:
                    del left[kind]
    usual = {kind: median(seconds[1:]) for kind, seconds in taken.items()}
    extra = sum(max(0.0, seconds[0] - usual[kind]) for kind, seconds in taken.items())
    return {kind: usual.get(kind, max(usual.values())) for kind in kinds}, extra


class _Stepper:
    """Does steps of a run as the training loop does; each call returns the seconds that one took."""

    def __init__(self, run: Run) -> None:
        self._run, ranks = run, run.ranks
        per_rank = run.schedules.global_batch // ranks.world
        self._supply = Supply(
            run.stream, 0, per_rank, ranks.rank, ranks.world, run.config.data.num_workers,
            pin=ranks.device.type == "cuda", local_world=ranks.local_world, say=run.say_from_any_rank,
        )  # fmt: skip

    def __enter__(self) -> "_Stepper":
        return self

    def __exit__(self, *_) -> None:
        self._supply.close()

    def __call__(self, step: int) -> float:
        run, per_step = self._run, self._run.schedules.global_batch
        began = time.perf_counter()
        batch = self._supply.take(lambda: run.stop.requested)
        if run.ranks.any(run.stop.requested or batch is None):
            raise Interrupted
        plan = run.schedules.plan(step, step * per_step, batch.indices, run.ranks.device)
        seed_step(run.trainer.seed, step, run.ranks.rank)
        run.trainer.step(batch, plan)
        if plan.train_g:
            run.average.update(run.trainer.generator, step * per_step, per_step)
        synchronise(run.ranks.device)
        return time.perf_counter() - began


def time_validation(run: Run, validate: Validate) -> float:
    """Seconds of a validation, from its first batches."""
    marks = [time.perf_counter()]

    def go_on() -> bool:
        marks.append(time.perf_counter())
        return not run.ranks.any(run.stop.requested or len(marks) > BATCHES + 1)

    done = validate(run, run.config.training.epochs, go_on) is not None
    if run.ranks.any(run.stop.requested):
        raise Interrupted
    if done:
        return time.perf_counter() - marks[0]
    batches = -(-len(run.held_out) // (run.config.training.batch_size * run.ranks.world))
    return batches * median(later - earlier for earlier, later in zip(marks[1:], marks[2:], strict=False))


def times_in(epochs: int, every: int) -> int:
    """How often something happens that is due every so many epochs and after the last."""
    return -(-epochs // every)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- words ---------------------------------------------------------------------------------------------------------


def show(costs: Costs, run: Run) -> None:
    """Prints the costs on rank 0 and closes the run."""
    run.log.close()
    for line in lines(costs, run) if run.ranks.is_main else ():
        run.progress.say(line)
    run.progress.close()
    run.ranks.barrier()


def lines(costs: Costs, run: Run) -> list[str]:
    """What is printed."""
    steps = sum(number for number, _ in costs.steps.values())
    ranks, where = run.ranks.world, run.ranks.device.type
    most = "at most " if run.config.training.patience else ""
    said = [f"estimate: {most}{duration(costs.total)} for {steps} steps on {ranks} x {where}"]
    said += [f"  {number} steps of {each:.3g} s: {_work(kind)}" for kind, (number, each) in costs.steps.items()]
    said += [f"  {number} {name} of {each:.3g} s" for name, (number, each) in costs.events.items()]
    said.append(f"  start: {duration(costs.start)}")
    said.append(f"memory: {size(costs.memory)} in each process; checkpoints: {size(costs.disk)} on the disk")
    return said


def _work(work: Work) -> str:
    parts = {
        "generator": work.train_g,
        "discriminator": work.train_d,
        "adversarial loss": work.adversarial,
        "penalties": work.penalised,
        "decoded losses": work.decode,
    }
    return ", ".join(name for name, there in parts.items() if there) or "neither network"


def duration(seconds: float) -> str:
    """
    >>> duration(95), duration(4000), duration(200_000)
    ('1 min 35 s', '1 h 7 min', '2 d 8 h')
    """
    for unit, large, small, word in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if seconds >= unit:
            whole = round(seconds / small) * small
            return f"{whole // unit} {large} {whole % unit // small} {word}"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(count: int) -> str:
    """Bytes as users read them."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
