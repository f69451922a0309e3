"""The page beside a run in training: clips of its newest save, and no influence on what it learns."""

import time

import pytest
from e2e_runs import TINY, figures, finished, identical, plain, start, state, train_here

from kinds.audio.listening import Listener
from kinds.audio.request import Request
from noise2music import load

pytestmark = pytest.mark.e2e
STEPS = 400  # 8 pairs, 2 of them to a batch
RUN = [*TINY, "--epochs", "100", "--save_every", "50", "--save_every_steps", "5", "--val_every", "50", "--seed", "3"]


@pytest.fixture
def run(here):
    """A run in training, as a process of its own."""
    training = start(plain(*RUN, "--checkpoint_dir", "heard"), here)
    yield training, here / "heard"
    if training.poll() is None:
        training.terminate()
    training.communicate(timeout=60)


def made(listener) -> tuple[int, bytes]:
    """The step of the save that makes a clip now, and the clip."""
    (shown,), message, _ = listener.make(Request(seed=1, num=1, duration=0.3))
    return int(message.split("step ")[1]), shown.wav.read_bytes()


def test_clips_of_the_newest_save_while_it_trains(run, here):
    training, folder = run
    while not (folder / "last.pt").exists() and training.poll() is None:
        time.sleep(0.05)
    (here / "made").mkdir()
    listener, heard = Listener(folder, "heard", here / "made"), {}
    while training.poll() is None:
        step, wav = made(listener)
        assert heard.setdefault(step, wav) == wav and step == max(heard)
    assert finished(training)[0] == 0
    assert len(heard) >= 2 and min(heard) < STEPS and heard[min(heard)] != heard[max(heard)]
    at_the_end = load(folder)
    assert at_the_end.trained_to.endswith(f"step {STEPS}")
    same = at_the_end.generate(0.3, seed=1).save(here / "same.wav").read_bytes()
    assert made(listener) == (STEPS, same) and same != heard[min(heard)]
    assert train_here(*RUN, "--checkpoint_dir", "alone") == 0
    assert identical(state(folder), state(here / "alone"))
    assert figures(folder) == figures(here / "alone")
    export, other = ((here / name / "generator.safetensors").read_bytes() for name in ("heard", "alone"))
    assert export == other
