"""Who may call whom: the imports of every file, read and not run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 350
PURE_ROOMS = ("models", "audio_codecs", "losses", "curriculum")
PROGRAMS = sorted(path.stem for path in ROOT.glob("*.py") if path.stem not in ("config", "options", "errors"))
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
FILES = sorted([*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))])


def room_of(path: Path) -> str:
    """A file's room; programs and other files at the top are rooms of their own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it; "from a import b" counts as a and as a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out from the root"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_used(path: Path) -> set[str]:
    """Rooms and programs of this project that a file imports from, its own left out."""
    own = {*ROOMS, *PROGRAMS, "config", "options", "errors"}
    return {name.split(".")[0] for name in imported(path)} & own - {room_of(path)}


def files_of(*rooms: str) -> list[Path]:
    return [path for path in FILES if room_of(path) in rooms]


def offenders(paths: list[Path], forbidden: set[str]) -> dict[str, set[str]]:
    found = {str(path.relative_to(ROOT)): rooms_used(path) & forbidden for path in paths}
    return {path: names for path, names in found.items() if names}


def test_the_rooms_are_there():
    assert {"models", "audio_codecs", "losses", "curriculum", "data", "runtime", "monitoring", "training"} <= set(ROOMS)
    assert {"train_simple_ddp", "train_simple_worker", "prepare_dataset", "generate", "evaluate"} <= set(PROGRAMS)
    assert len(FILES) > 40


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_rooms_import_no_other(room):
    everything = {*ROOMS, *PROGRAMS, "config", "options"} - {room}
    assert offenders(files_of(room), everything) == {}


def test_errors_and_options_are_leaves():
    assert offenders(files_of("errors", "options"), {*ROOMS, *PROGRAMS, "config", "options"}) == {}
    assert offenders(files_of("config"), {*ROOMS, *PROGRAMS}) == {}


def test_runtime_composes_nothing():
    assert offenders(files_of("runtime"), {*ROOMS, *PROGRAMS, "config", "options"}) == {}


def test_training_is_imported_by_programs_and_measurements_only():
    rooms = set(ROOMS) - {"training", "bench", "synthesis"}
    assert offenders([path for path in FILES if room_of(path) in rooms], {"training"}) == {}


def test_rooms_do_not_import_programs():
    """Programs compose rooms, never the other way round; `bench` is a program of several files."""
    rooms = set(ROOMS) - {"bench"}
    assert offenders([path for path in FILES if room_of(path) in rooms], {*PROGRAMS, "bench"}) == {}


def named(path: Path, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in imported(path) for module in modules)


def test_torch_distributed_is_named_in_runtime_and_at_the_top_only():
    allowed = {"runtime", "train_simple_ddp", "train_simple_worker", "bench"}  # bench starts torchrun
    for path in FILES:
        mentions = "torch.distributed" in path.read_text(encoding="utf-8") or named(path, "torch.distributed")
        assert not mentions or room_of(path) in allowed, path


def test_options_are_parsed_at_the_top_only():
    for path in FILES:
        allowed = room_of(path) in {"config", "bench", *PROGRAMS} or path.name == "__main__.py"
        assert allowed or not named(path, "argparse", "optparse", "getopt", "click", "jsonargparse"), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_outgrows_its_reader(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert path.stem == "__init__" or ast.get_docstring(ast.parse(text)), "a file begins by saying what it is"


def test_tests_outgrow_no_reader_either():
    long = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_test_files_have_names_of_their_own():
    """They are imported by name alone, so that two of one name would be one."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_a_wrong_option_is_told_before_torch_is_imported():
    """The first second belongs to the user's mistakes."""
    script = (
        "import sys, train_simple_ddp; code = train_simple_ddp.main(['--nonsense', '1']); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_reading_audio_needs_no_torch():
    script = "import sys, kinds.audio.files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0
