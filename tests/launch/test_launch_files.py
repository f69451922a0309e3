"""The files in launch/: sound shell, valid YAML, options that exist, a Slurm job that goes back in line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

from command_line import parse

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
SHELL = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])


def check_command(words: list[str]) -> None:
    """Both torchrun and the program accept a command line."""
    arguments = get_args_parser().parse_args(words[1:])
    assert words[0] == "torchrun" and arguments.training_script == "train_simple_ddp.py"
    assert arguments.rdzv_backend == "c10d" and "resume" in parse(arguments.training_script_args).given


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shell_is_sound(path):
    subprocess.run(["bash", "-n", path], check=True)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("shellcheck is not there: it comes with the dev dependencies")
    done = subprocess.run([shellcheck, "--shell=bash", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_kubernetes_manifest_fits_together():
    service, job = yaml.safe_load_all((LAUNCH / "kubernetes.yaml").read_text())
    assert (service["kind"], job["kind"], job["apiVersion"]) == ("Service", "Job", "batch/v1")
    spec = job["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    check_command(container["command"] + container["args"])
    nodes = int(next(a for a in container["args"] if a.startswith("--nnodes=")).split("=")[1])
    assert spec["completions"] == spec["parallelism"] == nodes
    name = job["metadata"]["name"]
    endpoint = next(a for a in container["args"] if a.startswith("--rdzv_endpoint=")).split("=")[1]
    port = service["spec"]["ports"][0]["port"]
    assert endpoint == f"{name}-0.{service['metadata']['name']}:{port}"
    assert pod["subdomain"] == service["metadata"]["name"] and spec["completionMode"] == "Indexed"
    assert service["spec"]["selector"] == {"job-name": name} and service["spec"]["clusterIP"] == "None"
    assert pod["terminationGracePeriodSeconds"] > 30
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_dockerfile_uses_the_readmes_commands():
    lines = [line for line in (LAUNCH / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"(ARG|FROM|RUN|WORKDIR|COPY|ENV|ENTRYPOINT|CMD| &&) ?", line) for line in lines)
    assert "RUN make setup" in lines
    start = [json.loads(line.split(" ", 1)[1]) for line in lines if line.startswith(("ENTRYPOINT", "CMD"))]
    words = start[0] + start[1]
    arguments = get_args_parser().parse_args(words[1:])
    parse(arguments.training_script_args)


STUBS = {
    "scontrol": 'echo "scontrol $*" >> "$LOG"; echo node0; echo node1',
    "scancel": 'echo "scancel $*" >> "$LOG"; kill -TERM "$(cat "$LOG.step")"',
    "srun": 'echo "$*" > "$LOG.srun"; echo $$ > "$LOG.step"; trap "exit 143" TERM; while :; do sleep 0.05; done',
}


def test_slurm_job_passes_the_signal_on_and_goes_back_in_line(tmp_path):
    for name, body in STUBS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log), "SLURM_JOB_ID": "12345",
        "SLURM_JOB_NODELIST": "node[0-1]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "8",
    }  # fmt: skip
    job = subprocess.Popen(["bash", LAUNCH / "slurm.sbatch", "--pure_gan_mode", "0.01"], env=environment, cwd=tmp_path)
    give_up = time.monotonic() + 30
    while not (tmp_path / "log.step").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    time.sleep(0.3)
    job.send_signal(signal.SIGTERM)
    assert job.wait(30) == 143
    assert "scancel --signal=TERM 12345" in log.read_text()
    assert log.read_text().splitlines()[-1] == "scontrol requeue 12345"
    words = (tmp_path / "log.srun").read_text().split()
    check_command(words[words.index("torchrun") :])
    assert words[-2:] == ["--pure_gan_mode", "0.01"] and "node0:22345" in words


def test_two_nodes_command_is_torchruns(tmp_path):
    torchrun = tmp_path / "torchrun"
    torchrun.write_text('#!/usr/bin/env bash\nprintf "%s\\n" torchrun "$@"\n')
    torchrun.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for own, is_host in (("10.0.0.1", "true"), ("10.0.0.2", "false")):
        done = subprocess.run(
            [LAUNCH / "two_nodes.sh", "10.0.0.1", own, "--seed", "3"], env=environment, capture_output=True, text=True
        )
        words = done.stdout.split("\n")[:-1]
        check_command(words)
        assert any(word.startswith(f"is_host={is_host},join_timeout=600,") for word in words)
        assert words[-2:] == ["--seed", "3"]
    refused = subprocess.run([LAUNCH / "two_nodes.sh"], env=environment, capture_output=True, text=True)
    assert refused.returncode != 0 and "address of the first machine" in refused.stderr


@pytest.mark.parametrize(("deaf", "message"), [(True, "kept"), (False, "lost")])
def test_a_machine_whose_head_no_longer_answers_ends_its_part(deaf, message, tmp_path):
    torchrun = tmp_path / "torchrun"
    torchrun.write_text(f"#!/usr/bin/env bash\ntrap '' {'TERM' if deaf else 'USR1'}\nexec sleep 100\n")
    torchrun.chmod(0o755)
    head = socket.create_server(("127.0.0.1", 0))
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "LOST_SECONDS": "1", "PORT": str(head.getsockname()[1]),
    }  # fmt: skip
    command = [LAUNCH / "two_nodes.sh", "127.0.0.1", "127.0.0.2"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as machine:
        with pytest.raises(subprocess.TimeoutExpired):
            machine.wait(8)
        head.close()
        if message == "lost":
            machine.stderr.close()
        assert machine.wait(90) == (-signal.SIGKILL if deaf else -signal.SIGTERM)
        if message == "kept":
            assert "127.0.0.1 has not answered" in machine.stderr.read()
