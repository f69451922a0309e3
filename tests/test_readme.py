"""The README's figures and commands, and the tests that docs/promises.md names."""

import re
import shlex
from pathlib import Path

import pytest

from command_line import FLAGS, parse
from config import known_options
from training.builder import build_networks

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if "train_simple_ddp.py" in line
]


def parameters(*words: str) -> float:
    """Of the generator that a command line selects, in millions."""
    network, _ = build_networks(parse(list(words)), None, (128, 300))
    return sum(p.numel() for p in network.parameters()) / 1e6


@pytest.mark.parametrize(
    "words", [(), ("--num_layers", "6"), *(("--size", size) for size in ("tiny", "small", "base"))]
)
def test_parameters_are_those_of_the_networks(words):
    said = {
        (): r"cascade`\): ([\d.]+) M parameters with its four layers",
        ("--num_layers", "6"): r"([\d.]+) M with six",
        ("--size", "tiny"): r"parameters of the patch generator \| ([\d.]+) M",
        ("--size", "small"): r"parameters of the patch generator \| [\d.]+ M \| ([\d.]+) M",
        ("--size", "base"): r"parameters of the patch generator(?: \| [\d.]+ M){2} \| ([\d.]+) M",
    }[words]
    figure = re.search(said, README.replace("\n", " "))[1]
    assert float(figure) == pytest.approx(parameters(*words), rel=0.01)


def test_the_commands_for_own_music_are_those_of_the_best_recipe():
    block = next(block for block in BLOCKS if "--input_dir ~/Music" in block)
    assert "--config recipes/finetune.yaml --init_from pretrained/demo" in block and "--duration 4 --codec mel" in block
    results = (ROOT / "docs" / "results.md").read_text()
    rows = re.findall(r"\| `?(finetune|small|classic)`?,.*?\| \**([\d.]+)\**", results)
    measured = {name: float(gap) for name, gap in rows}
    assert measured["finetune"] > measured["small"] > measured["classic"]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_options_that_exist(command):
    known = {*known_options(), *FLAGS, "config", "size"}
    words = shlex.split(command.split("train_simple_ddp.py", 1)[1].replace("&", ""))
    assert {word.lstrip("-") for word in words if word.startswith("--")} <= known


def test_there_are_commands():
    assert len(COMMANDS) >= 6


def test_promised_tests_are_there():
    """Every file and every function that the table names."""
    for name in re.findall(r"`([\w/]+\.py)`", PROMISES):
        assert any((base / name).exists() for base in (ROOT, ROOT / "tests", ROOT / "monitoring" / "report")), name
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    functions = set(re.findall(r"`(test_\w+)`", PROMISES))
    assert len(functions) > 20
    assert {name for name in functions if f"def {name}(" not in tests} == set()
