"""The folder of a run: one owner, nothing lost, figures never twice."""

import json
import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import UserError
from runtime import checkpoint, run_folder
from runtime.run_folder import RunLock, load_for_resume, move_earlier_run, open_folder, trim_metrics

KEPT = {"README.md": "about", ".gitignore": "*"}
RUN = {"config.yaml": "epochs: 3\n", "metrics.jsonl": "{}\n", "last.pt": "x", "tb/events": "y", "samples/a.wav": "z"}


def fill(folder, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def contents(folder) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


# --- an earlier run ------------------------------------------------------------------------------------------------


def test_an_earlier_run_is_moved_whole(tmp_path):
    fill(tmp_path, KEPT | RUN)
    os.utime(tmp_path / "config.yaml", (0, 1_700_000_000))
    home = move_earlier_run(tmp_path)
    assert home == tmp_path / "earlier" / "2023-11-14T22-13-20"
    assert contents(home) == RUN
    assert {name: text for name, text in contents(tmp_path).items() if not name.startswith("earlier")} == KEPT


@pytest.mark.parametrize("only", ["metrics.jsonl", "config.yaml", "last.pt", "checkpoint_epoch_7.pt"])
def test_any_trace_of_a_run_is_moved(only, tmp_path):
    fill(tmp_path, {only: "x"})
    assert contents(move_earlier_run(tmp_path)) == {only: "x"}


def test_without_an_earlier_run_nothing_moves(tmp_path):
    fill(tmp_path, KEPT | {"notes.txt": "mine"})
    assert move_earlier_run(tmp_path) is None
    assert contents(tmp_path) == KEPT | {"notes.txt": "mine"}
    assert move_earlier_run(tmp_path) is None


def test_runs_that_began_in_the_same_second_do_not_meet(tmp_path):
    for number in range(3):
        fill(tmp_path, {"config.yaml": str(number)})
        os.utime(tmp_path / "config.yaml", (0, 1_700_000_000))
        move_earlier_run(tmp_path)
    homes = sorted((tmp_path / "earlier").iterdir())
    assert [(home / "config.yaml").read_text() for home in homes] == ["0", "1", "2"]
    assert sorted(contents(tmp_path)) == sorted(f"earlier/{home.name}/config.yaml" for home in homes)


# --- the lock ------------------------------------------------------------------------------------------------------


def test_a_second_owner_is_refused_until_the_first_lets_go(tmp_path):
    lock = RunLock(tmp_path)
    with pytest.raises(UserError, match=f"in use by process {os.getpid()} on .*--checkpoint_dir"):
        RunLock(tmp_path)
    lock.release()
    RunLock(tmp_path).release()


def test_the_lock_is_free_after_the_owner_was_killed(tmp_path):
    reader, writer = os.pipe()
    owner = os.fork()
    if owner == 0:
        _held = RunLock(tmp_path)
        os.write(writer, b"held")
        signal.pause()
    assert os.read(reader, 4) == b"held"
    with pytest.raises(UserError, match=f"process {owner} "):
        RunLock(tmp_path)
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    lock = RunLock(tmp_path)
    assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()
    lock.release()
    os.close(reader)
    os.close(writer)


def test_the_folder_is_made_and_locked(tmp_path):
    folder, lock = open_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    with pytest.raises(UserError, match="in use"):
        open_folder(folder)
    lock.release()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"cannot write to .*file.*choose another --checkpoint_dir"):
            open_folder(path)
    assert contents(tmp_path) == {"file": ""}


# --- which save to go on from --------------------------------------------------------------------------------------


def save(folder, name: str, samples: int, epochs: int = 0) -> None:
    counters = {"step": samples // 4, "samples_seen": samples, "finished_epochs": epochs}
    checkpoint.save({"counters": counters}, folder / name)


def test_auto_takes_the_furthest_and_not_the_newest(tmp_path):
    save(tmp_path, "last.pt", 40)
    save(tmp_path, "checkpoint_epoch_2.pt", 80, 2)
    save(tmp_path, "best.pt", 60)
    path, state = load_for_resume("auto", tmp_path, pytest.fail)
    assert path.name == "checkpoint_epoch_2.pt"
    assert state["counters"]["samples_seen"] == 80


def test_a_damaged_one_is_passed_over_and_reported(tmp_path):
    save(tmp_path, "last.pt", 80)
    save(tmp_path, "best.pt", 40)
    data = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(data[:-50] + bytes(50))
    warned = []
    assert load_for_resume("auto", tmp_path, warned.append)[0].name == "best.pt"
    assert len(warned) == 1
    assert "last.pt" in warned[0]


def test_auto_without_saves_begins_anew_but_not_over_damaged_ones(tmp_path):
    assert load_for_resume("auto", tmp_path, pytest.fail) is None
    assert load_for_resume("auto", tmp_path / "none", pytest.fail) is None
    (tmp_path / "last.pt").write_text("text")
    with pytest.raises(UserError, match="no checkpoint in .* can be used"):
        load_for_resume("auto", tmp_path, lambda _: None)


def test_a_named_save_is_taken_or_refused(tmp_path):
    save(tmp_path, "one.pt", 4)
    assert load_for_resume(str(tmp_path / "one.pt"), "elsewhere", pytest.fail)[0] == tmp_path / "one.pt"
    with pytest.raises(UserError, match="there is no checkpoint"):
        load_for_resume(str(tmp_path / "two.pt"), tmp_path, pytest.fail)
    with pytest.raises(UserError):
        load_for_resume(str(tmp_path), tmp_path, pytest.fail)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pt"))


def test_old_epochs_go_only_while_a_whole_one_stays(tmp_path):
    for epoch in (2, 10, 6):
        save(tmp_path, f"checkpoint_epoch_{epoch}.pt", epoch, epoch)
    save(tmp_path, "last.pt", 10)
    assert run_folder.retain(tmp_path, 0) == run_folder.retain(tmp_path, 3) == []
    newest = tmp_path / "checkpoint_epoch_10.pt"
    good = newest.read_bytes()
    newest.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert run_folder.retain(tmp_path, 1) == []
    newest.write_bytes(good)
    run_folder.retain(tmp_path, 2)
    assert names(tmp_path) == ["checkpoint_epoch_10.pt", "checkpoint_epoch_6.pt", "last.pt"]
    (tmp_path / "checkpoint_epoch_6.pt").write_bytes(b"unreadable")
    run_folder.retain(tmp_path, 1)
    assert names(tmp_path) == ["checkpoint_epoch_10.pt", "last.pt"]


def test_a_clock_that_was_set_back_costs_no_new_save(tmp_path):
    for epoch in (2, 4, 6):
        save(tmp_path, f"checkpoint_epoch_{epoch}.pt", epoch, epoch)
        os.utime(tmp_path / f"checkpoint_epoch_{epoch}.pt", (1e9 - epoch, 1e9 - epoch))
    run_folder.retain(tmp_path, 1)
    assert names(tmp_path) == ["checkpoint_epoch_6.pt"]


# --- figures -------------------------------------------------------------------------------------------------------


def lines(*steps: int) -> str:
    return "".join(json.dumps({"step": step, "loss/g": step / 3}) + "\n" for step in steps)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 40), max_size=12).map(sorted), st.integers(0, 40), st.integers(0, 30))
def test_lines_after_the_step_and_half_lines_go(tmp_path_factory, steps, last, half):
    path = tmp_path_factory.getbasetemp() / "trimmed.jsonl"
    path.write_text(lines(*steps) + lines(last)[:half].rstrip("\n"))
    trim_metrics(path, last)
    whole = half >= len(lines(last)) - 1  # all but its newline: still a line
    kept = [step for step in steps if step <= last] + [last] * whole
    assert path.read_text() == lines(*kept)
    trim_metrics(path, last)
    assert path.read_text() == lines(*kept)


def test_lines_that_are_none_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(1) + '{"no step": 1}\n[]\n3\nnull\n\n{"step": "x"}\n' + lines(2))
    trim_metrics(path, 5)
    assert path.read_text() == lines(1, 2)


def test_no_figures_yet(tmp_path):
    trim_metrics(tmp_path / "metrics.jsonl", 5)
    assert not (tmp_path / "metrics.jsonl").exists()
