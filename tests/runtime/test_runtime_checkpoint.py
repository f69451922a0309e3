"""Checkpoints: whole or refused, never executed, and never half-written under their name."""

import hashlib
import io
import os
import pickle
import resource
import signal

import pytest
import torch
from forks import in_child
from hypothesis import given
from hypothesis import strategies as st

from errors import UserError
from runtime import checkpoint, files
from runtime.checkpoint import DamagedCheckpoint

STATE = {
    "counters": {"step": 3, "best": 0.25, "phase": "music", "none": None, "on": True},
    "weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2**40]), "c": torch.ones(3).bfloat16()},
    "groups": [{"params": [0, 1], "betas": [0.9, 0.99]}],
}


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def sealed(body: bytes) -> bytes:
    """Any bytes under a trailer that fits them: what a forger would make."""
    return body + b"N2MUSIC1" + hashlib.sha256(body).digest()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(STATE, path)
    return path


def test_round_trip(saved):
    state = checkpoint.load(saved)
    assert state.pop("schema") == checkpoint.SCHEMA
    assert same(state, STATE)
    assert checkpoint.is_whole(saved)
    assert same(checkpoint.peek(saved)["counters"], STATE["counters"])
    assert saved.stat().st_mode & 0o777 == 0o644


def test_torch_itself_reads_the_file(saved):
    assert same({"schema": checkpoint.SCHEMA} | STATE, torch.load(saved, weights_only=True))


def test_the_trailer_is_the_digest_of_what_stands_before_it(saved):
    data = saved.read_bytes()
    assert data == sealed(data[:-40])
    assert checkpoint.serialise(STATE) == data


def test_one_flipped_bit_anywhere_is_detected(saved):
    data = bytearray(saved.read_bytes())
    for position in range(len(data)):
        data[position] ^= 1 << position % 8
        with pytest.raises(DamagedCheckpoint, match="last.pt"):
            checkpoint.decode(bytes(data), saved)
        data[position] ^= 1 << position % 8
    assert checkpoint.decode(bytes(data), saved)


@given(st.data())
def test_any_damage_is_detected_when_read_piece_by_piece(tmp_path_factory, data):
    whole = checkpoint.serialise({"x": torch.arange(50)})
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole[:place] + b"\0" + whole[place:], whole[:place] + whole[place + 1 :]])
    )
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(damaged)
    assert checkpoint.is_whole(path) == (damaged == whole)


def test_a_file_cut_short_is_detected(saved):
    data = saved.read_bytes()
    for length in [*range(0, len(data), 7), *range(len(data) - 45, len(data))]:
        with pytest.raises(DamagedCheckpoint):
            checkpoint.decode(data[:length], saved)


@pytest.mark.parametrize("content", [b"", b"just text\n" * 50, b"N2MUSIC1" * 20, bytes(4000)])
def test_what_is_no_checkpoint_is_refused_in_one_sentence(content, tmp_path):
    path = tmp_path / "text.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"text\.pt") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert checkpoint.peek(path) is None
    assert not checkpoint.is_whole(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(UserError, match="cannot read"):
        checkpoint.load(tmp_path)
    assert not checkpoint.is_whole(tmp_path / "none.pt")


def test_text_under_a_fitting_trailer_is_refused(tmp_path):
    path = tmp_path / "forged.pt"
    path.write_bytes(sealed(b"not a zip"))
    with pytest.raises(UserError, match=r"forged\.pt") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


NO_STATES = [{"schema": 999}, {}, [1, 2], {"schema": None}, {"schema": 1}, {"schema": 1, "counters": None}]


@pytest.mark.parametrize("state", NO_STATES)
def test_another_schema_is_refused(state, tmp_path):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = tmp_path / "other.pt"
    path.write_bytes(sealed(buffer.getvalue()))
    with pytest.raises(UserError, match="another version"):
        checkpoint.load(path)
    assert checkpoint.peek(path) is None


class Malicious:
    """Unpickled, it would make a folder."""

    def __init__(self, target) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["torch zip", "bare pickle"])
def test_a_malicious_pickle_is_refused_and_not_executed(form, tmp_path):
    trap = Malicious(tmp_path / "executed")
    buffer = io.BytesIO()
    if form == "torch zip":
        torch.save({"schema": checkpoint.SCHEMA, "x": trap}, buffer)
    else:
        pickle.dump({"schema": checkpoint.SCHEMA, "x": trap}, buffer, protocol=2)
    path = tmp_path / "evil.pt"
    path.write_bytes(sealed(buffer.getvalue()))
    with pytest.raises(UserError, match=r"evil\.pt is refused") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert checkpoint.peek(path) is None
    assert not trap.target.exists()
    pickle.loads(pickle.dumps(trap))  # the trap does work
    assert trap.target.exists()


def test_an_exception_in_the_middle_leaves_the_old_file(saved):
    before = saved.read_bytes()
    with pytest.raises(RuntimeError), files.atomic_file(saved) as file:
        file.write(b"half of a new one")
        raise RuntimeError
    assert saved.read_bytes() == before
    assert [item.name for item in saved.parent.iterdir()] == ["last.pt"]


def test_a_writer_killed_in_the_middle_leaves_the_old_file(saved):
    before = saved.read_bytes()

    def killed_while_writing() -> None:
        with files.atomic_file(saved) as file:
            file.write(b"half of a new one")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(killed_while_writing) == -signal.SIGKILL
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 2
    assert files.remove_partial(saved.parent) == 1
    assert [item.name for item in saved.parent.iterdir()] == ["last.pt"]


def test_a_full_disk_is_an_error_and_leaves_the_old_file(saved):
    before = saved.read_bytes()

    def save_with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(OSError, match="File too large"):
            checkpoint.save({"big": torch.ones(100_000)}, saved)

    assert in_child(save_with_little_room) == 0
    assert saved.read_bytes() == before
    assert [item.name for item in saved.parent.iterdir()] == ["last.pt"]


def test_a_new_file_replaces_the_old_one(saved):
    checkpoint.save({"x": torch.zeros(2)}, saved)
    assert same(checkpoint.load(saved)["x"], torch.zeros(2))
    assert [item.name for item in saved.parent.iterdir()] == ["last.pt"]


def test_plain_makes_what_weights_only_takes():
    assert checkpoint.plain({"a": (1, [2.0, (None,)]), "b": "c"}) == {"a": [1, [2.0, [None]]], "b": "c"}
