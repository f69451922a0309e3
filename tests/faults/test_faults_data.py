"""Music and latents that vanish, break or are not what they seem."""

import shutil
import time

import pytest
from fault_runs import assert_same_run, lines, run, start


@pytest.fixture
def own_dataset(tmp_path, dataset):
    shutil.copytree(dataset, tmp_path / "pairs", copy_function=shutil.copy2)
    return tmp_path / "pairs"


def shards(dataset):
    found = sorted(dataset.glob("latents/*/shard_*.npy"))
    assert len(found) >= 20
    return found


def cut_short(path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), cut_short], ids=["vanished", "cut short"])
def test_a_lost_latent_shard_is_named_and_skipped_by_all_ranks_alike(tmp_path, own_dataset, damage):
    folder = tmp_path / "run"
    program = start(folder, own_dataset, ranks=2, faults={"slow_steps": {"seconds": 0.2}})
    program.wait_for_step(folder, 2)
    lost = shards(own_dataset)[:2]
    for path in lost:
        damage(path)
    assert program.end() == 0, program.output[-3000:]
    warnings = [line for line in program.output.splitlines() if line.startswith("warning: skipped")]
    assert warnings and all(any(str(path) in line for path in lost) for line in warnings)
    assert lines(folder)[-1]["step"] == 20
    assert lines(folder)[-1]["bad_clips"] == len(warnings)
    again = run(folder, own_dataset, faults={}, resume="auto", epochs=5, global_batch_size=4)
    assert lines(folder)[-1]["step"] == 25
    assert "skipped" not in again.output  # the next start has made them again


def test_more_lost_clips_than_allowed_end_the_run_with_one_sentence(tmp_path, own_dataset):
    folder = tmp_path / "run"
    faults = {"slow_steps": {"seconds": 0.2}, "most_skipped": {"number": 0}}
    program = start(folder, own_dataset, ranks=2, faults=faults)
    program.wait_for_step(folder, 2)
    for path in shards(own_dataset)[:6]:
        path.unlink()
    assert program.end(60) != 0
    sentences = [line for line in program.output.splitlines() if line.startswith("train_simple_worker.py:")]
    assert len(sentences) == 1
    assert "cannot be read and at most 0 may be replaced; The latents of " in sentences[0]
    assert "exitcode  : 2" in program.output


def test_wavs_that_vanish_do_not_matter_to_a_run_in_progress(tmp_path, own_dataset, untouched):
    folder = tmp_path / "run"
    program = start(folder, own_dataset, faults={"slow_steps": {"seconds": 0.05}})
    program.wait_for_step(folder, 2)
    for path in list((own_dataset / "train").glob("*.wav"))[:4]:
        path.unlink()
    assert program.end() == 0
    assert_same_run(folder, untouched(1))


@pytest.mark.parametrize("how", ["stale", "foreign"])
def test_a_stale_or_foreign_cache_is_detected_by_digest_and_rebuilt(tmp_path, own_dataset, untouched, how):
    victim, other = shards(own_dataset)[:2]
    right = victim.read_bytes()
    if how == "stale":
        data = bytearray(right)
        data[-7] ^= 1
        victim.write_bytes(data)
    else:
        victim.write_bytes(other.read_bytes())
    time.sleep(0.01)
    run(tmp_path / "run", own_dataset, faults={})
    assert victim.read_bytes() == right
    assert_same_run(tmp_path / "run", untouched(1))
