"""Packages for a machine with a GPU, its own torch, and no network: downloaded elsewhere, installed beside its own.

python -m bench.gpu.packages --python_version 3.12      (`make wheels`) fills the folder wheels/, for x86-64 Linux

`make gpu` installs what is missing into wheels/installed, from wheels/ alone; the machine's own packages stay as they
are, and come second where wheels/ has a version that setup.cfg asks for and theirs is not. Needs no other package.
"""

import argparse
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from errors import UserError, reports_user_errors

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "wheels"
# What a machine with torch has, and what `make gpu` does without: pictures, and the server of TensorBoard.
LEFT_OUT = {
    "torch", "numpy", "sympy", "setuptools",
    "matplotlib", "pillow", "grpcio", "markdown", "werkzeug", "tensorboard-data-server",
}  # fmt: skip
TESTING = {"pytest", "pytest-timeout", "hypothesis"}
# The notes ruler's, too large to come along unasked: installed if they are there. The last one needs no others here.
RULER, ALONE = ("onnxruntime", "basic-pitch"), "basic-pitch"
# Members of the largest wheels that nothing here reads, a fifth of all; pip does not miss them.
SLIMMED, UNREAD = (
    ("scipy-*", "scikit_learn-*", "tensorboard-*"),
    re.compile(r"/tests/|/webfiles\.zip$|/projector_binary"),
)
PLATFORMS = [f"manylinux{name}_x86_64" for name in ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28")]


def plain(name: str) -> str:
    """A package's name as all write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_in(requirement: str) -> str:
    return plain(re.match(r"[\w.-]+", requirement)[0])


def requirements() -> list[str]:
    """What `make gpu` needs of setup.cfg, torch and numpy included."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    asked = setup["options"]["install_requires"].split("\n")
    asked += [line for line in setup["options.extras_require"]["dev"].split("\n") if line and name_in(line) in TESTING]
    found = [line.strip() for line in asked if line.strip() and not line.strip().startswith("#")]
    return [one for one in found if name_in(one) in {"torch", "numpy"} or name_in(one) not in LEFT_OUT]


def is_met(requirement: str) -> bool:
    """Whether this Python has the package in a fitting version; any, as long as it lacks `packaging`."""
    try:
        version = metadata.version(name_in(requirement))
        from packaging.requirements import Requirement
    except metadata.PackageNotFoundError:
        return False
    except ModuleNotFoundError:
        return True
    return Requirement(requirement).specifier.contains(version, prereleases=True)


def needed_by(requirement: str) -> bool:
    """Whether a requirement holds here: not one of an extra, of another system, or of another Python."""
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": ""})


def closure(names: Iterable[str], requires: Callable[[str], list[str]]) -> list[str]:
    """The packages and those that they need, directly or not; `requires` gives a package's requirements."""
    found, waiting = [], list(names)
    while waiting:
        name = plain(waiting.pop(0))
        if name in found or name in LEFT_OUT:
            continue
        found.append(name)
        if name != ALONE:
            waiting += [name_in(one) for one in requires(name) if needed_by(one)]
    return found


def use() -> None:
    """Sees to it that this process, and those that it starts, find what `make gpu` needs.

    Raises:
        UserError: packages are missing, and wheels/ is not there or does not have them.
    """
    installed = WHEELS / "installed" / f"{sys.version_info.major}.{sys.version_info.minor}"
    _find_in(installed)
    wheels = {plain(path.name.split("-")[0]): path for path in WHEELS.glob("*.whl")}
    wanted = [*requirements(), *(name for name in RULER if name in wheels)]
    if not (missing := [name_in(one) for one in wanted if not is_met(one)]):
        return
    where = f"{sys.executable} lacks {', '.join(missing)}"
    if own := {"torch", "numpy"} & set(missing):
        raise UserError(
            f"{where}: name a Python that has {' and '.join(sorted(own))}, as in make gpu PYTHON=python3.12"
        )
    version = f"PYTHON_VERSION={sys.version_info.major}.{sys.version_info.minor}"
    if not WHEELS.is_dir():
        raise UserError(f"{where}: run `make setup`, or without a network copy the folder wheels/ here, "
                        f"which `make wheels {version}` makes where there is one")  # fmt: skip
    if not _install(missing, wheels, installed):
        raise UserError(f"{where}, and wheels/ does not have all of it for this Python: run `make wheels {version}` "
                        "where there is a network, and copy the folder wheels/ here again")  # fmt: skip
    _find_in(installed)


def _find_in(folder: Path) -> None:
    """Puts a folder before the machine's own packages."""
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.insert(1, str(folder))
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{others}" if others else str(folder)
        importlib.invalidate_caches()


def _install(missing: list[str], wheels: dict[str, Path], folder: Path) -> bool:
    """Installs the packages, and what they need and this Python lacks, from wheels/; False if that is impossible."""
    reader = str(wheels.get("packaging", ""))  # read from the wheel, unless the machine has it
    if not set(missing) <= wheels.keys() or not (reader or importlib.util.find_spec("packaging")):
        return False
    sys.path.append(reader)

    def lacking(name: str) -> list[str]:
        (found,) = metadata.distributions(path=[str(wheels[name])])
        return [one for one in found.requires or () if name_in(one) in wheels and not is_met(one)]

    try:
        chosen = closure(missing, lacking)
    finally:
        sys.path.pop()
    call = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    call += ["--upgrade"]  # of what an earlier call left there
    return not subprocess.run([*call, "--target", folder, *(wheels[name] for name in chosen)]).returncode


def download(python_version: str, has: set[str], also: list[str]) -> float:
    """Fills wheels/ anew with the versions of this environment; returns megabytes."""
    names = closure([*map(name_in, requirements()), "packaging", *also], lambda name: metadata.requires(name) or [])
    pinned = [f"{name}=={metadata.version(name)}" for name in names if name not in has]
    shutil.rmtree(WHEELS, ignore_errors=True)
    call = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    call += ["--only-binary=:all:", "--python-version", python_version, "--dest", WHEELS]
    call += [word for platform in PLATFORMS for word in ("--platform", platform)]
    if subprocess.run([*call, *pinned]).returncode:
        raise UserError("pip could not download these packages, see above: is there a network, and are there wheels of "
                        f"them for Python {python_version}?")  # fmt: skip
    for path in [path for pattern in SLIMMED for path in WHEELS.glob(pattern)]:
        slim(path)
    return sum(path.stat().st_size for path in WHEELS.glob("*.whl")) / 1e6


def slim(wheel: Path) -> None:
    """Leaves out the members that nothing reads."""
    smaller = wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as rest:
        for member in whole.infolist():
            if not UNREAD.search(member.filename):
                rest.writestr(member, whole.read(member), compresslevel=9)
    smaller.replace(wheel)


@reports_user_errors("bench.gpu.packages")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.packages", description=__doc__.splitlines()[0])
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python_version", default=own, help="of the machine with the GPU (default: this one's)")
    parser.add_argument("--has", nargs="*", default=[], help="packages that the machine has beside torch and numpy")
    parser.add_argument("--also", nargs="*", default=[], help=f"more packages: {' '.join(RULER)} for the notes ruler")
    args = parser.parse_args(argv)
    size = download(args.python_version, set(map(plain, args.has)), args.also)
    print(f"wheels/: {size:.0f} MB for Python {args.python_version} on x86-64 Linux; copy it beside the Makefile there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
