"""What a machine with its own torch and no network gets installed: what it lacks, from a folder, beside its own."""

import subprocess
import sys
import zipfile

import pytest

from bench.gpu import __main__ as program
from bench.gpu import packages
from errors import UserError


def wheel(folder, name, version="1.0", requires=(), tag="py3-none-any"):
    """A wheel of one module that holds its version."""
    folder.mkdir(exist_ok=True)
    about = f"{name}-{version}.dist-info"
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{about}/METADATA": "\n".join(lines) + "\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as file:
        for path, text in files.items():
            file.writestr(path, text)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """An empty folder's place; this Python needs torch, which it has, and a package that it lacks."""
    monkeypatch.setattr(packages, "WHEELS", tmp_path / "wheels")
    monkeypatch.setattr(packages, "requirements", lambda: ["torch >= 2.6", "toy_first >= 1"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    return tmp_path / "wheels"


def test_what_is_missing_is_installed_beside_with_what_it_needs(wheels):
    needs = ("toy_second", "numpy >= 1", "toy_extra; extra == 'x'", "toy_old; python_version < '3'")
    wheel(wheels, "toy_first", requires=needs)
    for name in ("toy_second", "toy_extra", "toy_old", "toy_unasked", "packaging", "numpy"):
        wheel(wheels, name)
    packages.use()
    (installed,) = (wheels / "installed").iterdir()
    assert {path.stem for path in installed.glob("*.py")} == {"toy_first", "toy_second"}
    for call in (["-c", "import toy_first, numpy; print(numpy.__file__)"], ["-m", "toy_first"]):
        done = subprocess.run([sys.executable, *call], capture_output=True, text=True)  # finds them by the environment
        assert done.returncode == 0 and str(wheels) not in done.stdout
    (wheels / "toy_first-1.0-py3-none-any.whl").unlink()
    packages.use()  # again, and nothing is missing


def test_versions_that_do_not_fit_are_missing(wheels, monkeypatch):
    assert packages.is_met("torch >= 2.6") and not packages.is_met("torch >= 99") and not packages.is_met("toy_first")
    monkeypatch.setattr(packages, "requirements", lambda: ["pyyaml >= 99"])
    wheel(wheels, "packaging")
    wheel(wheels, "pyyaml", "99.0")
    packages.use()
    assert packages.is_met("pyyaml >= 99")


def test_no_wheels_is_one_sentence(wheels, monkeypatch, capsys):
    assert program.main(["--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    version = f"PYTHON_VERSION={sys.version_info.major}.{sys.version_info.minor}"
    assert "lacks toy-first" in said and f"make wheels {version}" in said and "make setup" in said
    monkeypatch.setattr(packages, "requirements", lambda: ["torch >= 99"])
    assert program.main(["--device", "cpu"]) == 2 and "lacks torch: name a Python" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "tag"), [("packaging", "py3-none-any"), ("toy_first", "cp27-none-any")])
def test_wheels_without_it_are_one_sentence(wheels, name, tag):
    wheel(wheels, name, tag=tag)
    with pytest.raises(UserError, match="wheels/ does not have all of it for this Python: run `make wheels"):
        packages.use()


def test_what_is_downloaded(wheels, monkeypatch):
    """Needs of needs, in this environment's versions; not torch, nor pictures, nor what the machine has."""
    monkeypatch.undo()
    monkeypatch.setattr(packages, "WHEELS", wheels)
    calls = []

    def pip(call):
        calls.append(call)
        return subprocess.CompletedProcess(call, 0)

    monkeypatch.setattr(subprocess, "run", pip)
    packages.download("3.12", {"scipy"}, [])
    (call,) = calls
    names = {word.split("==")[0] for word in call if "==" in str(word)}
    assert {"pydantic", "pydantic-core", "soundfile", "cffi", "pytest", "scikit-learn", "protobuf"} <= names
    assert not names & {"torch", "numpy", "scipy", "matplotlib", "pillow", "grpcio", "sympy"}
    assert call[call.index("--python-version") + 1] == "3.12" and "--no-deps" in call


def test_the_question_is_asked_before_any_package_is_imported():
    call = [sys.executable, "-S", "-c", "import bench.gpu.__main__, bench.gpu.packages"]  # no site-packages
    assert subprocess.run(call, cwd=packages.ROOT).returncode == 0
