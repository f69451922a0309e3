"""Which device is chosen, and what is different on mps, which no test machine has: its logic alone, with stubs."""

import pytest
import torch

from errors import UserError
from runtime import devices, seeding
from training.optimizers import Updater


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs, with mps or without: machine(cuda=2, mps=False)."""

    def with_devices(cuda: int = 0, mps: bool = False) -> None:
        there = {"cpu": 1, "cuda": cuda, "mps": int(mps)}

        def touch(device: torch.device) -> None:
            if not (device.index or 0) < there.get(device.type, 0):
                raise RuntimeError(f"no {device}")

        monkeypatch.delenv(devices.CHOICE, raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(devices, "_touch", touch)

    return with_devices


def test_the_best_device_is_chosen(machine):
    machine()
    assert devices.choose() == torch.device("cpu")
    machine(mps=True)
    assert devices.choose() == torch.device("mps")
    machine(cuda=1, mps=True)
    assert devices.choose() == torch.device("cuda", 0)


def test_each_rank_has_a_gpu_of_its_own_or_the_cpu(machine):
    machine(cuda=2)
    assert [str(devices.choose(local_rank=rank, local_world=3)) for rank in range(3)] == ["cuda:0", "cuda:1", "cpu"]
    assert devices.device_count() == 2


def test_several_ranks_do_not_share_mps(machine):
    """It is one device, and gloo does not exchange its tensors."""
    machine(mps=True)
    assert [devices.choose(local_rank=rank, local_world=2).type for rank in range(2)] == ["cpu", "cpu"]
    assert devices.device_count() == 1


def test_a_named_device_is_taken(machine, monkeypatch):
    machine(cuda=1, mps=True)
    assert devices.choose("cpu").type == "cpu" and devices.choose("mps").type == "mps"
    assert devices.choose("cuda") == torch.device("cuda", 0)
    monkeypatch.setenv(devices.CHOICE, "mps")
    assert devices.choose().type == "mps" and devices.device_count() == 1
    assert devices.choose("cpu").type == "cpu"


def test_a_device_that_is_not_there_is_one_sentence(machine, monkeypatch):
    machine()
    for name in ("mps", "cuda", "no device at all"):
        with pytest.raises(UserError, match=f"^--device {name} cannot be used here: leave it out, or give cpu$"):
            devices.choose(name)
    monkeypatch.setenv(devices.CHOICE, "mps")
    with pytest.raises(UserError, match="^NOISE2MUSIC_DEVICE=mps cannot be used here"):
        devices.choose()


def test_autocast_is_the_devices(monkeypatch):
    made = []
    monkeypatch.setattr(torch, "autocast", lambda *given, **more: made.append((given, more)))
    for name in ("cpu", "cuda", "mps"):
        devices.autocast(torch.device(name), active=True)
        devices.autocast(torch.device(name), active=False)
    assert made == [((name,), {"dtype": torch.bfloat16}) for name in ("cpu", "cuda", "mps")]


def updated(loss_factor: float) -> tuple[Updater, torch.Tensor]:
    """An updater after a good step and one whose loss is multiplied by a factor, and its network's weights."""
    torch.manual_seed(1)
    network = torch.nn.Linear(3, 2)
    updater = Updater(network, torch.optim.Adam(network.parameters(), lr=0.1, fused=True), 1.0)
    x = torch.ones(4, 3)
    for factor in (1.0, loss_factor):
        updater(factor * network(x).square().mean(), 0.1)
    return updater, network.weight.detach().clone()


@pytest.mark.parametrize("factor", [1.0, float("nan")])
def test_where_fused_optimizers_do_not_skip_the_host_does(factor, monkeypatch):
    """mps ignores `found_inf`. Steps of the real optimizer are counted: on a CPU it would skip by itself."""
    reference, weight = updated(factor)
    steps = []
    monkeypatch.setattr(devices, "fused_skips", lambda device: False)
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *given: steps.append(1) or step(self, *given))
    updater, same_weight = updated(factor)
    assert len(steps) == (2 if factor == 1 else 1)
    assert torch.equal(weight, same_weight)
    assert torch.equal(updater.bad, reference.bad) and float(updater.bad) == (0 if factor == 1 else 1)


def test_only_mps_is_said_not_to_skip():
    assert [devices.fused_skips(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [True, True, False]


def test_dropout_on_mps_is_seeded_at_each_step(machine, monkeypatch):
    machine(mps=True)
    seeds = []
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    seeding.seed_step(42, 7, 0)
    expected = seeding.mix_seed(42, seeding.Purpose.DROPOUT, 7, 0)
    assert seeds == [expected] and torch.initial_seed() == expected


def test_integers_of_mps_are_computed_on_the_host():
    assert devices.for_integers("mps") == "cpu"
    assert devices.for_integers("cuda:1") == "cuda:1" and devices.for_integers(torch.device("cpu")).type == "cpu"


GAPS = {
    "an operation": (
        NotImplementedError("The operator 'aten::_fft_r2c' is not currently implemented for the MPS device."),
        "the device mps lacks aten::_fft_r2c in torch",
    ),
    "a type": (
        TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."),
        "the device mps lacks numbers of 64 bits",
    ),
}


@pytest.mark.parametrize("case", GAPS)
def test_what_mps_lacks_is_one_sentence(case):
    error, message = GAPS[case]
    with pytest.raises(UserError, match=message) as caught, devices.without_gaps():
        raise error
    assert "NOISE2MUSIC_DEVICE=cpu" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [NotImplementedError("not yet"), TypeError("no number"), RuntimeError("MPS is odd")])
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, devices.without_gaps():
        raise error
    assert caught.value is error


def test_memory_that_was_used_is_counted():
    block = torch.ones(64 << 20, dtype=torch.uint8)
    assert devices.peak_memory(torch.device("cpu")) >= len(block)
