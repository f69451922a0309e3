"""Who may call whom: the imports of every file, read and not run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 350
PURE_ROOMS = ("models", "audio_codecs", "losses", "curriculum")
LEAVES = ("errors", "registry", "earlier_versions")  # files at the top that every room may import
TOP = (*LEAVES, "config", "command_line")
PROGRAMS = sorted(path.stem for path in ROOT.glob("*.py") if path.stem not in TOP)
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
FILES = sorted([*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))])
# What a room may import beside itself, the leaves and what is given in `ALL`; other rooms are free.
MAY_IMPORT = {
    "models": set(),
    "losses": set(),
    "curriculum": set(),
    "audio_codecs": set(),
    "runtime": set(),
    "evaluation": set(),
    "data": {"runtime"},
    "monitoring": {"config", "curriculum", "losses", "runtime"},
    "synthesis": {"config", "curriculum", "models", "runtime"},
    "kinds": {"audio_codecs", "data", "evaluation", "losses", "monitoring", "runtime", "synthesis"},
    "training": {*ROOMS, "config"} - {"bench", "audio_codecs"},
}


def room_of(path: Path) -> str:
    """A file's room; programs and other files at the top are rooms of their own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it; "from a import b" counts as a and as a.b."""
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out from the root"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_used(path: Path) -> set[str]:
    """Rooms and programs of this project that a file imports from, its own left out."""
    own = {*ROOMS, *PROGRAMS, *TOP}
    return {name.split(".")[0] for name in imported(path)} & own - {room_of(path)}


def files_of(*rooms: str) -> list[Path]:
    return [path for path in FILES if room_of(path) in rooms]


def offenders(paths: list[Path], forbidden: set[str]) -> dict[str, set[str]]:
    found = {str(path.relative_to(ROOT)): rooms_used(path) & forbidden for path in paths}
    return {path: names for path, names in found.items() if names}


def test_the_rooms_are_there():
    assert set(MAY_IMPORT) | {"bench"} == set(ROOMS)
    assert {"train_simple_ddp", "train_simple_worker", "prepare_dataset", "generate", "evaluate"} <= set(PROGRAMS)
    assert len(FILES) > 40


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_what_it_may(room):
    everything = {*ROOMS, *PROGRAMS, *TOP} - {room, *LEAVES}
    assert offenders(files_of(room), everything - MAY_IMPORT[room]) == {}


def test_rooms_form_no_circle():
    """Walked from the bottom: each room stands on rooms below it alone."""
    uses = {room: set().union(*(rooms_used(path) for path in files_of(room))) & set(ROOMS) for room in ROOMS}
    while uses:
        free = [room for room, others in uses.items() if not others & set(uses)]
        assert free, f"a circle among {uses}"
        uses = {room: others for room, others in uses.items() if room not in free}


def test_files_at_the_top_are_leaves():
    assert offenders(files_of("errors", "registry"), {*ROOMS, *PROGRAMS, *TOP} - {"errors"}) == {}
    assert offenders(files_of("earlier_versions"), {*ROOMS, *PROGRAMS, *TOP} - {"errors"}) == {}
    assert offenders(files_of("config"), {*PROGRAMS, "command_line"}) == {}


def test_options_need_options_alone():
    """The configuration is read from the options' modules, none of which imports a definition."""
    files = [*ROOT.glob("*/options.py"), *ROOT.glob("kinds/*/options.py"), ROOT / "kinds" / "base_options.py"]
    for path in [*files, ROOT / "config.py"]:
        of_rooms = {name for name in imported(path) if name.split(".")[0] in ROOMS}
        modules = {name for name in of_rooms if not name.split(".")[-1][0].isupper()}  # not the names from them
        assert all(name.split(".")[-1] in ("options", "base_options") for name in modules), (path, modules)
    script = "import sys, command_line; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_training_is_imported_by_programs_and_measurements_only():
    """But for its options, which the configuration joins."""
    for path in FILES:
        if room_of(path) not in {"training", "bench", "config", *PROGRAMS}:
            assert "training" not in rooms_used(path), path


KINDLESS = ("training", "curriculum", "losses", "runtime", "models", "data", "evaluation", "synthesis")


@pytest.mark.parametrize("path", files_of(*KINDLESS), ids=lambda path: str(path.relative_to(ROOT)))
def test_kinds_of_data_are_known_in_their_room_alone(path):
    from kinds.options import KINDS

    own = {f"kinds.{folder.name}" for folder in (ROOT / "kinds").iterdir() if folder.is_dir()}
    assert not any(name == kind or name.startswith(f"{kind}.") for name in imported(path) for kind in own)
    strings = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
    assert not strings & set(KINDS)


def part_names() -> set[str]:
    """The names of all registered parts; "none" and "off" are words of other things, too."""
    from config import SECTIONS, choices_in
    from models.options import AGENTS

    def registries(models):
        for _, registry in choices_in(models):
            yield registry
            yield from registries([part.options for part in registry.values()])

    return {name for registry in [*registries(SECTIONS.values()), AGENTS] for name in registry} - {"none", "off"}


def compared_strings(tree: ast.AST) -> set[str]:
    """Strings that something is compared with: ==, !=, in, or a case of a match."""
    found = set()
    for node in ast.walk(tree):
        operands = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        operands += [node.value] if isinstance(node, ast.MatchValue) else []
        for operand in operands:
            inner = operand.elts if isinstance(operand, ast.Tuple | ast.List | ast.Set) else [operand]
            found |= {one.value for one in inner if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return found


def test_no_name_of_a_part_is_compared():
    """What a part needs it says itself. Files of earlier versions are read by the names that they hold."""
    names = part_names()
    assert {"rpgan", "patch", "plateau", "mel", "audio", "adamw"} <= names
    assert compared_strings(ast.parse("x == 'patch' or y in ('mel', 'b')")) == {"patch", "mel", "b"}
    for path in FILES:
        if path.name != "options.py" and path.stem != "earlier_versions":
            assert not compared_strings(parsed(path)) & names, path


def test_rooms_do_not_import_programs():
    """Programs compose rooms, never the other way round; `bench` is a program of several files."""
    rooms = set(ROOMS) - {"bench"}
    assert offenders([path for path in FILES if room_of(path) in rooms], {*PROGRAMS, "command_line", "bench"}) == {}


def named(path: Path, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in imported(path) for module in modules)


def test_torch_distributed_is_named_in_runtime_and_at_the_top_only():
    allowed = {"runtime", "train_simple_ddp", "train_simple_worker", "bench"}  # bench starts torchrun
    for path in FILES:
        mentions = "torch.distributed" in path.read_text(encoding="utf-8") or named(path, "torch.distributed")
        assert not mentions or room_of(path) in allowed, path


def test_options_are_parsed_at_the_top_only():
    for path in FILES:
        allowed = room_of(path) in {"command_line", "bench", *PROGRAMS} or path.name == "__main__.py"
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


def test_a_wrong_option_is_reported_before_torch_is_imported():
    """The first second belongs to the user's mistakes."""
    script = (
        "import sys, train_simple_ddp; code = train_simple_ddp.main(['--nonsense', '1']); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_reading_and_preparing_audio_starts_without_what_it_seldom_needs():
    """Every process that cuts songs imports it again."""
    script = (
        "import sys, kinds.audio.files, kinds.audio.preparing.prepare; "
        "sys.exit(bool({'torch', 'scipy.signal', 'scipy.stats'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0
