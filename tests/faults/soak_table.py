"""A table of the figures in logs of soak.py.

python tests/faults/soak_table.py results/soak/*.jsonl --into docs/reliability.md
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from pathlib import Path

MARKS = ("<!-- figures of make soak -->", "<!-- end of the figures -->")


def table(all_seen: list[dict]) -> str:
    """Markdown: what schedules suffered and how runs went on, all together and by the last fault before it.

    Args:
        all_seen: lines of logs, see `soak.figures`.
    """
    faults = sum((Counter(seen["faults"]) for seen in all_seen), Counter())
    ends = [end for seen in all_seen for end in seen["ends"]]
    failing = [seen["seed"] for seen in all_seen if seen["fails"] is not None]
    by_cause = {name: [end for end in ends if end[0] == name] for name in faults}
    rows = sorted(faults.items(), key=lambda item: (-item[1], item[0]))
    return "\n".join([
        f"{len(all_seen)} schedules (seeds {_ranges(seen['seed'] for seen in all_seen)}) in "
        f"{sum(seen['seconds'] for seen in all_seen) / 3600:.1f} hours: {faults.total()} faults, "
        f"{sum(seen['starts'] for seen in all_seen)} starts, {len(ends)} times on after an end. "
        f"{len(all_seen) - len(failing)} hold{', not seeds ' + _ranges(failing) if failing else ''}.", "",
        "| fault | times | on after it | steps repeated: median, worst | seconds to the next step: median, worst |",
        "|---|---|---|---|---|",
        _row("all", faults.total(), ends),
        *(_row(name, count, by_cause[name]) for name, count in rows),
    ])  # fmt: skip


def _row(name: str, count: int, ends: list) -> str:
    lost, seconds = ([end[k] for end in ends] for k in (1, 2))
    return f"| {name.replace('_', ' ')} | {count} | {len(ends)} | {_of(lost, 0)} | {_of(seconds, 1)} |"


def _of(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f}, {max(values):.{digits}f}" if values else "-"


def _ranges(numbers) -> str:
    """1, 2, 3, 7 -> "1 to 3, 7"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)


def put_between(text: str, new: str) -> str:
    """The text with what is between its MARKS replaced. Raises ValueError where they are missing."""
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}\n{new}\n{MARKS[1]}{after}"


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--into", type=Path, help="a page in which the table is replaced")
    args = parser.parse_args(words)
    made = table([json.loads(line) for log in args.logs for line in log.read_text().splitlines()])
    print(made)
    if args.into is not None:
        args.into.write_text(put_between(args.into.read_text(), made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
