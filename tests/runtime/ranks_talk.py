"""What ranks say to each other, tried out by test_runtime_distributed on two of them."""

import json
import time
from pathlib import Path

import torch

from errors import UserError
from runtime import distributed
from runtime.distributed import Interrupted, Ranks, ReportedElsewhere


def fail(message: str):
    raise UserError(message)


def outcome(work) -> str:
    """What came of it, in words."""
    try:
        return f"result {work()}"
    except ReportedElsewhere as error:
        return f"reported elsewhere: {error}"
    except UserError as error:
        return f"user error: {error}"
    except Interrupted:
        return "interrupted"


def converse(ranks: Ranks) -> dict:
    """Every exchange once."""
    me, main = ranks.rank, ranks.is_main
    asked: list[int] = []
    began = time.monotonic()
    said = {
        "any of none": ranks.any(False),
        "any of the last": ranks.any(me == ranks.world - 1),
        "votes": ranks.vote(main, not main, False),
        "gathered": ranks.gather({"rank": me}),
        "mean": ranks.mean(torch.tensor([1.0, 10.0]) * (me + 1)).tolist(),
        "sum": ranks.sum(torch.tensor([0.1], dtype=torch.float64) * (me + 1)).tolist(),
        "from main": ranks.from_main(["main", me]),
        "bytes": ranks.bytes_from_main(b"ab" * 5 if main else None).decode(),
        "no bytes": ranks.bytes_from_main(b"" if main else None).decode(),
        "main first": outcome(lambda: ranks.main_first(lambda: asked.append(me) or me)),
        "main fails": outcome(lambda: ranks.main_first(lambda: fail("no such folder") if main else asked.append(9))),
        "one works": outcome(lambda: ranks.while_in_touch((lambda: time.sleep(0.5) or "made") if main else None)),
        "work fails": outcome(lambda: ranks.while_in_touch((lambda: fail("bad clip")) if main else None)),
        "asked": asked,
    }
    said["stopped"] = outcome(
        lambda: ranks.while_in_touch((lambda: time.sleep(30)) if main else None, lambda: me == ranks.world - 1)
    )
    said["took"] = time.monotonic() - began
    ranks.barrier()
    return said


def run(folder: str) -> None:
    ranks = distributed.start(num_threads=1)
    Path(f"{folder}/{ranks.rank}.json").write_text(json.dumps(converse(ranks)))
    distributed.stop(ranks)


def run_with_a_slow_peer(folder: str) -> int:
    """Rank 1 goes away without a word; rank 0 waits for it no longer than the limit."""
    ranks = distributed.start(num_threads=1, timeout_minutes=0.05)
    if not ranks.is_main:
        time.sleep(6)
        return 0
    began = time.monotonic()
    try:
        ranks.barrier()
    except RuntimeError as error:
        lost = distributed.is_lost_peer(error)
        Path(f"{folder}/waited.json").write_text(json.dumps([lost, time.monotonic() - began]))
        return 7
    return 0
