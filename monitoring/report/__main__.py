"""Writes the report of a run, or a comparison of several: one self-contained HTML file.

    python -m monitoring.report checkpoints
    python -m monitoring.report checkpoints_a checkpoints_b --output comparison.html

Exit codes: 0 done; 2 a folder holds no run, one sentence on stderr.
"""

import argparse
import sys
from pathlib import Path

from errors import reports_user_errors
from monitoring.report import make_report
from runtime.console import outlive_readers


@reports_user_errors("monitoring.report")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.report", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="folders of runs; several are compared in the same charts")
    parser.add_argument("--output", help="the file to write (default: report.html in the first folder)")
    given = parser.parse_args(argv)
    path = make_report(given.runs, given.output or Path(given.runs[0]) / "report.html")
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    outlive_readers()
    sys.exit(main())
