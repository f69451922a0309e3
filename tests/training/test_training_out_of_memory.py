"""Out of memory is one sentence, with a batch that would fit."""

import errno

import pytest
import torch
from training_parts import ALONE, tiny_config

import train_simple_worker
from runtime.memory import is_out_of_memory
from training.out_of_memory import sentence, smaller_batch


@pytest.mark.parametrize(
    ("batch", "resting", "fits"),
    [(64, 0.0, 32), (7, 0.0, 3), (64, 0.5, 32), (64, 0.99, 0), (1, 0, 0)],
)
def test_a_smaller_batch(batch, resting, fits):
    assert smaller_batch(batch, resting) == fits


def test_the_sentence_names_the_option_that_was_given():
    assert "batch of 8 per device: --batch_size 4 would" in sentence(tiny_config(batch_size=8), 2, "a GPU")
    assert "--global_batch_size 8 (4 per device)" in sentence(tiny_config(global_batch_size=16), 2, "a GPU")
    assert "--crop_seconds" in sentence(tiny_config(batch_size=1), 1, "a GPU")


FULL = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB). Tried to allocate 20 GB on private pool."),
    "python": MemoryError(),
    "system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "host": RuntimeError("[enforce fail at alloc_cpu.cpp:130] . DefaultCPUAllocator: can't allocate memory"),
    "library": ImportError("libx.so: failed to map segment from shared object"),
}


@pytest.mark.parametrize("error", FULL.values(), ids=FULL)
def test_the_worker_says_it_and_ends_with_2(monkeypatch, capsys, error):
    def starved(*_):
        raise error

    class Quiet:
        signal = None

        def listen(self):
            return self

    monkeypatch.setattr(train_simple_worker, "StopRequest", Quiet)
    monkeypatch.setattr(train_simple_worker, "end_with_parent", lambda: None)
    monkeypatch.setattr(train_simple_worker.distributed, "start", lambda *_: ALONE)
    monkeypatch.setattr(train_simple_worker, "build", starved)
    assert train_simple_worker.main(tiny_config(batch_size=6)) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1 and "--batch_size 3 would probably fit" in complaint


def test_memory_that_torch_cannot_get_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(RuntimeError("could not create a primitive"))  # oneDNN's, seen under a limit
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for the convolution"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit")) and not is_out_of_memory(OSError(errno.ENOSPC, ""))
