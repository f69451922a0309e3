"""What `--estimate` adds up: kinds of steps and how many of them, validations, samples, checkpoints."""

import doctest

import pytest
import torch
from training_parts import PAIRS, tiny_config, tiny_run

from training import estimate
from training.estimate import Costs, kinds_of_steps, lines, measure, step_count, time_steps, time_validation, times_in
from training.step_plan import Schedules, Work

LATER = {"g_pretrain_steps": 7, "adv_ramp_steps": 5, "penalty_every": 4, "r1_weight": 1.0, "r2_weight": 1.0}
CASES = {
    "a discriminator that joins later": LATER,
    "rarer discriminator": {"disc_update_freq": 3, "r1_weight": 1.0},
    "rarer generator": {"n_critic": 2} | LATER,
    "no discriminator": {"gan_weight": 0.0, "unity_test": True},
    "decoded losses": {"loss_weight_mel": 1.0, "decode_every": 3},
}


@pytest.mark.parametrize("case", CASES)
def test_a_steps_work_is_what_its_plan_says(case):
    config = tiny_config(gan_loss="rpgan", **{"epochs": 20} | CASES[case])
    schedules, device = Schedules(config, PAIRS, 4), torch.device("cpu")
    for step in range(40):
        plan, work = schedules.plan(step, 4 * step, [0, 1, 2, 3], device), schedules.work(step, 4 * step)
        assert (work.train_g, work.train_d) == (plan.train_g, plan.train_d)
        assert work.penalised == (plan.train_d and plan.penalty_factor > 0)
        assert work.adversarial == (plan.train_g and plan.gan_weight > 0)
        assert work.decode == plan.decode


def run_of(**options):
    return tiny_run(tiny_config(gan_loss="rpgan", **{"epochs": 20} | options))


def test_every_step_of_the_run_is_counted():
    kinds = kinds_of_steps(run_of(**LATER), 40)
    numbers = {kind: number for kind, (number, _) in kinds.items()}
    assert sum(numbers.values()) == 40
    assert sum(number for kind, number in numbers.items() if not kind.train_d) == 7
    assert sum(number for kind, number in numbers.items() if kind.penalised) == sum(
        (s + 1) % 4 == 0 for s in range(7, 40)
    )
    assert sum(number for kind, number in numbers.items() if kind.adversarial) == 32  # its weight begins at 0


def test_a_long_run_is_counted_by_a_part(monkeypatch):
    run = run_of(epochs=2000, **LATER)
    monkeypatch.setattr(estimate, "COUNTED", 1000)
    kinds = kinds_of_steps(run, step_count(run))
    numbers = {kind: number for kind, (number, _) in kinds.items()}
    assert sum(numbers.values()) == pytest.approx(4000, abs=3)
    assert numbers[Work(True, True, True, True, False)] == pytest.approx(1000, rel=0.15)


def test_a_run_ends_at_its_last_epoch_or_step():
    assert step_count(run_of(epochs=20)) == 40
    assert step_count(run_of(epochs=20, max_steps=15)) == 15
    assert step_count(run_of(epochs=3, batch_size=5)) == 5  # 24 samples


class Timed:
    """Stands for steps whose time is known: the first of each kind takes longer."""

    def __init__(self, run) -> None:
        self.run, self.seen = run, []
        Timed.last = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __call__(self, step: int) -> float:
        work = self.run.schedules.work(step, step * self.run.schedules.global_batch)
        self.seen.append(work)
        return cost_of(work) + 5.0 * (self.seen.count(work) == 1)


def cost_of(work: Work) -> float:
    return 1.0 + 0.5 * work.train_d + 0.25 * work.adversarial + 2.0 * work.penalised


def test_kinds_are_timed_by_themselves_and_weighed(monkeypatch):
    run = run_of(**LATER)
    monkeypatch.setattr(estimate, "_Stepper", Timed)
    kinds = kinds_of_steps(run, 40)
    times, extra = time_steps(run, kinds)
    true = sum(cost_of(run.schedules.work(step, 4 * step)) for step in range(40))
    assert sum(number * times[kind] for kind, (number, _) in kinds.items()) == pytest.approx(true)
    assert extra == pytest.approx(5.0 * len(kinds))
    assert 20 <= len(Timed.last.seen) <= 40 and Timed.last.seen[:2] != Timed.last.seen[2:4]


def test_rare_kinds_are_not_waited_for(monkeypatch):
    run = run_of(epochs=200, **LATER | {"g_pretrain_steps": 1})
    monkeypatch.setattr(estimate, "_Stepper", Timed)
    times, _ = time_steps(run, kinds_of_steps(run, 400))
    rare = Work(True, False, False, False, False)
    assert rare not in Timed.last.seen and times[rare] == max(times.values())


def clock(monkeypatch):
    """A clock that stands still until `clock.now` is changed."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(estimate.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_a_validation_is_timed_by_its_first_batches(monkeypatch):
    run, now = run_of(batch_size=1), clock(monkeypatch)
    run.held_out = range(90)
    batches = []

    def validate(run, epoch, go_on):
        now.now += 3.0  # before the first batch
        while go_on():
            batches.append(1)
            now.now += 0.5 if len(batches) > 1 else 4.0
        return

    assert time_validation(run, validate) == pytest.approx(90 * 0.5)
    assert len(batches) == estimate.BATCHES


def test_a_short_validation_is_timed_whole(monkeypatch):
    run, now = run_of(), clock(monkeypatch)

    def validate(run, epoch, go_on):
        assert go_on()
        now.now += 1.5
        return {"val/current": 1.0}

    assert time_validation(run, validate) == 1.5


def test_the_whole_is_the_sum(monkeypatch, tmp_path):
    run = run_of(val_every=6, save_every=8, save_every_minutes=0, sample_every=0, **LATER)
    run.folder = tmp_path
    monkeypatch.setattr(estimate, "_Stepper", Timed)
    monkeypatch.setattr(estimate, "timed", lambda work: work() and None or 0.125)
    monkeypatch.setattr(estimate, "time_validation", lambda *_: 10.0)
    costs = measure(run, None, estimate.time.perf_counter() - 100.0)
    steps = sum(cost_of(run.schedules.work(step, 4 * step)) for step in range(40))
    assert costs.events == {"validations": (4, 10.0), "checkpoints": (1 + 2 * 3 + 4, 0.125)}
    assert costs.total == pytest.approx(100 + 5 * len(costs.steps) + steps + 40 + 11 / 8, abs=1)
    assert costs.disk == 5 * (tmp_path / "last.pt").stat().st_size
    assert costs.memory > 100 << 20
    said = lines(costs, run)
    assert "for 40 steps on 1 x cpu" in said[0] and "at most" in said[0]
    assert any("4 validations of 10 s" in line for line in said)
    assert any("generator, discriminator, adversarial loss, penalties" in line for line in said)


def test_how_often():
    assert [times_in(20, every) for every in (1, 6, 20, 50)] == [20, 4, 1, 1]
    assert Costs({}).total == 0
    assert doctest.testmod(estimate).failed == 0
