"""The page beside a run in training: clips of its newest save, and no influence on what it learns."""

import time

import pytest
from e2e_runs import TINY, figures, finished, identical, plain, start, state, train_here

from kinds.audio.listening import Listener
from kinds.audio.request import Request
from noise2music import load

pytestmark = pytest.mark.e2e
RUN = [*TINY, "--epochs", "50", "--save_every", "25", "--save_every_steps", "5", "--val_every", "50", "--seed", "3"]
STEPS = 200  # 8 pairs, 2 of them to a batch


@pytest.fixture
def run(here):
    """A run in training, as a process of its own."""
    training = start(plain(*RUN, "--checkpoint_dir", "heard"), here)
    yield training, here / "heard"
    if training.poll() is None:
        training.terminate()
    training.communicate(timeout=60)


def step_of(music) -> int:
    return int(music.trained_to.split("step ")[1])


def test_clips_of_the_newest_save_while_it_trains(run, here):
    training, folder = run
    while not (folder / "last.pt").exists() and training.poll() is None:
        time.sleep(0.05)
    (here / "made").mkdir()
    listener, heard = Listener(folder, "heard", here / "made"), {}
    while training.poll() is None:
        shown, message, _ = listener.make(Request(seed=1, num=1, duration=0.3))
        assert message.endswith(f"step {step_of(listener.music())}")
        heard[step_of(listener.music())] = shown[0].wav.read_bytes()
    assert finished(training)[0] == 0
    assert list(heard) == sorted(heard) and len(heard) >= 2 and min(heard) < STEPS
    assert len(set(heard.values())) == len(heard)  # every save sounds otherwise
    shown, message, _ = listener.make(Request(seed=1, num=1, duration=0.3))
    assert message.endswith(f"step {STEPS}") and listener.music().trained_to == load(folder).trained_to
    assert shown[0].wav.read_bytes() == load(folder).generate(0.3, seed=1).save(here / "same.wav").read_bytes()
    assert train_here(*RUN, "--checkpoint_dir", "alone") == 0
    assert identical(state(folder), state(here / "alone"))
    assert figures(folder) == figures(here / "alone")
    export, other = ((here / name / "generator.safetensors").read_bytes() for name in ("heard", "alone"))
    assert export == other
