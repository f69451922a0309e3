"""What each package says that it offers is there, and offering it costs no import of torch."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
OFFERING = (
    "audio_codecs",
    "curriculum",
    "evaluation",
    "kinds",
    "losses",
    "models",
    "monitoring",
    "runtime",
    "synthesis",
)


def submodules(room: str) -> set[str]:
    return {module.name for module in pkgutil.iter_modules([str(ROOT / room)])}


@pytest.mark.parametrize("room", OFFERING)
def test_every_name_that_is_offered_is_there(room):
    package = importlib.import_module(room)
    assert package.__all__ == sorted(set(package.__all__)) and package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None, name
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("room", OFFERING)
def test_a_name_is_what_its_own_module_defines(room):
    """No name hides a module of the package, and what is offered is the module's own object."""
    package = importlib.import_module(room)
    assert not set(package.__all__) & submodules(room)
    for name in package.__all__:
        value = getattr(package, name)
        home = getattr(value, "__module__", None)
        if isinstance(home, str) and callable(value) and home.split(".")[0] == room:
            assert getattr(importlib.import_module(home), name) is value, name


@pytest.mark.parametrize("room", OFFERING)
def test_a_name_that_is_not_offered_is_none(room):
    with pytest.raises(AttributeError, match="nonsense"):
        _ = importlib.import_module(room).nonsense


def test_all_rooms_are_known_here():
    """A new room offers names, or is added to those that offer none."""
    assert set(ROOMS) - set(OFFERING) == {"bench", "data", "training"}


def test_importing_the_packages_imports_no_torch():
    code = f"import sys, {', '.join(OFFERING)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_options_of_every_room_import_no_torch():
    modules = [f"{room}.options" for room in ROOMS if (ROOT / room / "options.py").exists()]
    assert len(modules) >= 8
    code = f"import sys, {', '.join(modules)}, config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
