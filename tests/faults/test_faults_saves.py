"""Saves: never half-written, checked, kept, and never the end of a run that could go on."""

import os
import pickle
import shutil
import subprocess
import time

import pytest
from fault_runs import assert_same_run, kill_tree, lines, run, start

from errors import UserError
from runtime import checkpoint
from runtime.run_folder import load_for_resume, retain


def test_killed_while_a_checkpoint_is_written(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    run(folder, dataset, faults={"kill_in_save": {"number": 3}}, code=-9)
    assert list(folder.glob(".*.partial"))
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == 3
    program = run(folder, dataset, faults={}, resume="auto")
    assert "step 3" in program.output
    assert not list(folder.glob(".*.partial"))
    assert_same_run(folder, untouched(1))


@pytest.mark.parametrize("damage", ["truncated", "one byte flipped"])
def test_a_damaged_newest_checkpoint_is_told_and_passed_over(tmp_path, dataset, untouched, damage):
    folder = tmp_path / "run"
    shutil.copytree(untouched(1), folder)
    for name in ("last.pt", "checkpoint_epoch_4.pt", "best.pt"):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data[: len(data) // 3] if damage == "truncated" else data)
    program = run(folder, dataset, faults={}, resume="auto")
    assert program.output.count("warning: passed over") == 3
    assert f"resumed from {folder / 'checkpoint_epoch_2.pt'}" in program.output
    assert_same_run(folder, untouched(1))


class Evil:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, dataset, sealed):
    import hashlib

    sprung, evil = tmp_path / "sprung", tmp_path / "run" / "evil.pt"
    evil.parent.mkdir()
    data = pickle.dumps(Evil(sprung))
    evil.write_bytes(data + (b"N2MUSIC1" + hashlib.sha256(data).digest() if sealed else b""))
    for load in (checkpoint.load, lambda path: load_for_resume("auto", path.parent, lambda _: None)):
        with pytest.raises(UserError):
            load(evil)
    assert checkpoint.peek(evil) is None
    if sealed:
        program = run(tmp_path / "other", dataset, faults={}, resume=evil, code=2)
        assert len(program.output.strip().splitlines()) == 1
    assert not sprung.exists()


def test_a_full_disk_costs_warnings_and_the_exit_code_but_no_step(tmp_path, dataset, untouched):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = (untouched(1) / "last.pt").stat().st_size
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(1.7 * size)}", "tmpfs", str(disk)]).returncode
    if mounted != 0:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        folder = disk / "run"
        program = start(folder, dataset, faults={}, save_every_steps=10)
        assert program.end() == 1
        output = program.output
        assert output.count("could not be saved (No space left on device); training continues") >= 4  # 20, 30, 40, end
        assert "not saved:" in output and "Traceback" not in output
        assert "last.pt" in output[output.index("not saved:") :]
        assert checkpoint.load(folder / "last.pt")["counters"]["step"] == 10
        ours, theirs = lines(folder), lines(untouched(1))
        assert ours == theirs
        subprocess.run(["mount", "-o", f"remount,size={9 * size}", str(disk)], check=True)
        run(folder, dataset, faults={}, resume="auto", save_every_steps=10)
        assert lines(folder) == theirs
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_read_only_disk_costs_warnings_and_the_exit_code(tmp_path, dataset):
    folder = tmp_path / "run"
    program = run(folder, dataset, faults={"read_only": {"after": 2}}, code=1)
    assert program.output.count("could not be saved (Read-only file system); training continues") >= 5
    assert "finished at epoch 4" in program.output
    assert "not saved:" in program.output
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == 3


def test_retention_keeps_the_last_the_best_and_what_is_good(tmp_path, dataset):
    folder = tmp_path / "run"
    run(folder, dataset, faults={}, save_every=1, keep_last=2)
    names = {path.name for path in folder.glob("*.pt")}
    assert names == {"checkpoint_epoch_3.pt", "checkpoint_epoch_4.pt", "best.pt", "last.pt"}
    shutil.copy(folder / "checkpoint_epoch_3.pt", folder / "checkpoint_epoch_1.pt")
    os.utime(folder / "checkpoint_epoch_1.pt", ns=(1, 1))
    for name in ("checkpoint_epoch_3.pt", "checkpoint_epoch_4.pt"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert retain(folder, 2) == []  # the oldest is the only good one
    shutil.copy(folder / "last.pt", folder / "checkpoint_epoch_5.pt")
    assert {path.name for path in retain(folder, 2)} == {"checkpoint_epoch_1.pt", "checkpoint_epoch_3.pt"}
    assert (folder / "checkpoint_epoch_5.pt").exists()
    assert (folder / "best.pt").exists() and (folder / "last.pt").exists()


def test_a_second_run_on_a_folder_is_refused_and_a_dead_runs_lock_is_taken_over(tmp_path, dataset):
    folder = tmp_path / "run"
    first = start(folder, dataset, faults={"slow_steps": {"seconds": 0.5}})
    first.wait_for_step(folder, 4)
    refused = run(folder, dataset, faults={}, code=2, max_steps=1)
    assert f"in use by process {first.process.pid} on " in refused.output
    assert first.process.poll() is None
    kill_tree(first.process.pid)
    first.end()
    began = time.monotonic()
    run(folder, dataset, faults={}, resume="auto", max_steps=5)
    print(f"taken over after {time.monotonic() - began:.1f} s")
