"""Threads of the OpenMP runtime that torch computes with."""

import ctypes
from functools import cache
from pathlib import Path

import torch

# omp_pause_soft of OpenMP 5.0, section 3.2.44: the threads go, and what is private to them stays.
PAUSE_SOFT = 1


def release_worker_threads() -> None:
    """End the worker threads that wait for the calling thread's next parallel operation.

    Each thread that computes has workers of its own. With more of them than processors, GNU's
    runtime lets all of them sleep between two operations instead of waiting awake: a sweep in a
    second thread then takes twice as long. The runtime starts the calling thread's workers again at
    its next parallel operation; no setting changes, and no result.

    Has no effect outside Linux, nor where the runtime has no OpenMP 5.0.
    """
    pause = _pause()
    if pause is not None:
        pause(PAUSE_SOFT)


@cache
def _pause() -> "ctypes._NamedFuncPointer | None":
    """Return omp_pause_resource_all of the runtime that torch is linked with, or None."""
    # Other packages bring runtimes of their own, so the name is looked up through torch's library.
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).with_name("lib") / "libtorch_cpu.so"))
        return library.omp_pause_resource_all
    except (OSError, AttributeError):
        return None
