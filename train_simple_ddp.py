"""Launcher: reads the options; under torchrun it runs one worker, without torchrun it starts torch's elastic launcher.

    torchrun train_simple_ddp.py --pure_gan_mode 0.01
    python train_simple_ddp.py --config recipes/demo.yaml
    python train_simple_ddp.py --config recipes/demo.yaml --estimate

Exit codes: 0 done; 2 wrong input, one sentence on stderr; 3 training diverged or collapsed;
128 + n stopped by signal n, resumable; 1 a rank failed or was lost, or the last checkpoint could not be saved.
"""

import os
import sys
from typing import NoReturn

from command_line import parse
from config import RunConfig
from errors import UserError, printable
from runtime.console import outlive_readers
from runtime.cores import sleep_while_waiting
from runtime.memory import is_out_of_memory
from runtime.signals import end_with_parent

DIED = 1


def main(argv: list[str]) -> int:
    """Runs the program; returns its exit code."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()  # also while this rank is still starting
    outlive_readers()
    sleep_while_waiting()
    try:
        config = parse(argv)
        check_folders(config)
    except UserError as error:
        if os.environ.get("RANK", "0") == "0":
            print(f"train_simple_ddp.py: {printable(error)}", file=sys.stderr)
        return 2
    if "TORCHELASTIC_RUN_ID" in os.environ and not alone_on_a_machine_of_many(config):
        return work(config)
    return launch(config, argv)


def work(config: RunConfig) -> NoReturn:
    """Runs one rank and exits at once: threads of a process group that lost a peer would abort a normal exit.

    An unexpected error is printed and reported to torchrun.
    """
    import traceback

    code = DIED
    try:
        from torch.distributed.elastic.multiprocessing.errors import record

        from train_simple_worker import main as rank

        code = record(rank)(config)
    except Exception as error:
        if is_out_of_memory(error):
            print("train_simple_ddp.py: no memory is left for the program itself: give it more", file=sys.stderr)
        else:
            traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def check_folders(config: RunConfig) -> None:
    """Checks that need no torch, so that they fail before it is imported.

    Raises:
        UserError: the dataset or the checkpoint is not there.
    """
    from pathlib import Path

    from synthesis.hub import PREFIX
    from synthesis.loading import find_generator

    given, data, resume = config.given, config.data, config.checkpoints.resume
    for name in ("train_dir" if data.train_dir else "dataset_folder", "val_dir"):
        folder = getattr(data, name)
        if folder and (name in given or not resume) and not Path(folder).is_dir():  # else the checkpoint names it
            raise UserError(f"there is no dataset folder {folder}: make one with `python prepare_dataset.py --demo`")
    if resume not in (None, "auto") and not Path(resume).is_file():
        raise UserError(f"there is no checkpoint {resume}: give a .pt file, or --resume auto")
    if resume is not None and "estimate" in config.flags:
        raise UserError("--estimate is about a new run: leave --resume out")
    if (origin := config.checkpoints.init_from) is not None and not origin.startswith(PREFIX):
        find_generator(origin, "--init_from")


def local_devices() -> int:
    from runtime import devices

    return devices.device_count()


def alone_on_a_machine_of_many(config: RunConfig) -> bool:
    """Whether this is the single worker of a plain `torchrun` on a machine with several devices.

    Users then mean one worker per device; `--world_size 1` asks for a single one.
    """
    return os.environ.get("WORLD_SIZE") == "1" and config.processes.world_size != 1 and local_devices() > 1


def launch(config: RunConfig, argv: list[str]) -> int:
    """One worker per local device under torch's own elastic agent; returns the first failed worker's exit code.

    If a signal killed a worker (out of memory, a failing machine), the run restarts from its newest checkpoint with a
    new agent, so that nothing of the failed attempt is left. A worker that exited by itself is not restarted.
    """
    import time

    for name in [key for key in os.environ if key.startswith(("TORCHELASTIC", "GROUP_")) or key in _RANK_VARIABLES]:
        del os.environ[name]
    workers = config.processes.world_size or local_devices()
    if workers > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_id = f"n2m-{os.getpid()}-{time.time_ns()}"
    most = 0 if "estimate" in config.flags else config.processes.max_restarts
    for attempt in range(most + 1):
        os.environ["N2M_ATTEMPT"] = str(attempt)  # from the second on, workers resume from the newest checkpoint
        code = _run_agent(workers, argv, run_id)
        if code >= 0:
            return code
        print(f"a worker was killed by signal {-code}", file=sys.stderr)
        if attempt < most:
            print(f"restarting from the newest checkpoint ({attempt + 1} of {most})", file=sys.stderr)
    return DIED


def _run_agent(workers: int, argv: list[str], run_id: str) -> int:
    """Exit code of one attempt: that of a worker, 128 + n if stopped by signal n, -n if signal n killed a worker."""
    import logging
    import signal

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from runtime.signals import asking

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # torch would handle signals that are ignored as well, and so undo what nohup did.
    names = ",".join(number.name for number in asking())
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = names
    more = {"signals_to_handle": names} if hasattr(LaunchConfig, "signals_to_handle") else {}
    agent = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=workers,
        run_id=run_id,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",  # else the machine's own name, which in containers nobody may be able to resolve
        max_restarts=0,
        monitor_interval=0.2,
        **more,
    )
    try:
        elastic_launch(agent, sys.executable)("-u", os.path.abspath(__file__), *argv)
    except ChildFailedError as error:
        codes = [f.exitcode for f in sorted(error.failures.values(), key=lambda failure: failure.timestamp)]
        # When one rank is killed, the others fail at the same moment: report the kill as the cause. SIGTERM does not
        # count, since the agent itself ends the other ranks with it.
        return next((code for code in codes if code < 0 and code != -signal.SIGTERM), codes[0])
    except SignalException as error:
        return 128 + error.sigval
    return 0


_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "ROLE_RANK")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
