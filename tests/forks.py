"""Work in a forked process: for what must not happen to the process that tests."""

import os
import traceback
from collections.abc import Callable

import torch


def in_child(work: Callable[[], object]) -> int:
    """Exit code of a forked process that does the work (0 if it returned), negative if a signal ended it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            torch.set_num_threads(1)  # the threads of the tests' own process are not there to wait for
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
