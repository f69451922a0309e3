"""A plugin of pytest: each test's figures and outcome become rows of the tables as soon as the test is done.

A test records figures as properties called `figure` (tests/gpu/conftest.py, `measured`). Rows and the names of all
tests are in files, since an error of a device may end the process.
"""

import json
from pathlib import Path

import pytest

from bench.figures import Figure
from bench.gpu.parts import Row, failure, keep


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", type=Path, required=True, help="file to which rows are appended")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Gathering(config.getoption("--rows")))


class Gathering:
    def __init__(self, rows: Path) -> None:
        self._rows = rows

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        names = [name_of(item.nodeid) for item in session.items]
        names_beside(self._rows).write_text(json.dumps(names), encoding="utf-8")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            keep(rows_of(report), self._rows)


def rows_of(report: pytest.TestReport) -> list[Row]:
    """A row for each figure; one more with the error if none of them explains why the test failed."""
    name = name_of(report.nodeid)
    rows = [Row(name, Figure(**value), check=True) for key, value in report.user_properties if key == "figure"]
    if report.skipped:
        rows.append(Row(name, Figure(name, None, note=report.longrepr[2].removeprefix("Skipped: "))))
    elif report.failed and not any(row.failed for row in rows):
        rows.append(failure(name, reason(report)))
    elif not rows:
        rows.append(Row(name, Figure(f"{name}: holds", 1.0, bar_gpu=">= 1"), check=True))
    for row in rows:
        row.took_s = round(report.duration, 1)
    return rows


def reason(report: pytest.TestReport) -> str:
    """The first line of the error."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).split("\n")[0][:200]


def name_of(nodeid: str) -> str:
    """ "tests/gpu/test_x.py::test_one_thing[a]" is "one thing[a]"."""
    return nodeid.split("::", 1)[1].removeprefix("test_").replace("_", " ")


def names_beside(rows: Path) -> Path:
    return rows.with_suffix(".names")


def collected(rows: Path) -> list[str]:
    """The names of all tests that were to run; none if pytest did not get so far."""
    path = names_beside(rows)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
