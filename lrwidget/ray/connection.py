"""This process's connection to a Ray cluster: made once, and held while it is used.

`ray.shutdown()` in another thread takes the ground from under Ray's calls: they hang, crash, or
start another cluster on this machine. It takes a lock of Ray's; under that lock nothing goes. What
is used here of Ray without being public is in this module alone.
"""

import contextlib
import logging
import socket
import threading
from typing import Any

import ray
from ray._private import services, worker

# Without Ray's own it would only keep our threads apart.
LOCK: Any = getattr(worker, "_connect_or_shutdown_lock", None) or threading.RLock()

# Seconds.
ANSWERS_WITHIN = 5.0


class WorkerLostError(RuntimeError):
    """A worker of the Ray cluster died, or its node did, or it cannot be reached."""


def connect(address: str | None) -> None:
    """Connect this process to the cluster, unless it is connected.

    Raises:
        ConnectionError: there is no cluster at the address.
    """
    if ray.is_initialized():
        return
    # What workers print would land in whichever cell ran last.
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        _refuse_where_nobody_answers(address)
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "Ray" if address is None else f"a Ray cluster at {address!r}"
        raise ConnectionError(f"could not connect to {where}: {error}") from error


def _refuse_where_nobody_answers(address: str | None) -> None:
    """Raise at once where Ray itself would try for a quarter of an hour."""
    found = services.canonicalize_bootstrap_address(address)  # type: ignore[arg-type]
    if found is None:  # it starts one on this machine
        return
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN).close()
    except OSError as error:
        raise ConnectionError(
            f"nothing answers at {found} ({error}); give the address that `ray start --head` "
            "printed there, or 'local' for a new cluster on this machine"
        ) from error


class Session(contextlib.AbstractContextManager[None]):
    """One connection of this process, from a `ray.init()` to the next `ray.shutdown()`.

    It stays in a `with` block, where a `ray.shutdown()` waits: nothing there may take long.

    Raises:
        WorkerLostError: the process is not connected, or, in `with`, no longer or anew.
    """

    def __init__(self) -> None:
        with LOCK:
            if not ray.is_initialized():
                raise _left()
            self._number = worker.global_worker.worker_id

    def lasts(self) -> bool:
        """Whether it is the connection now; holds on only while `LOCK` is held."""
        return ray.is_initialized() and worker.global_worker.worker_id == self._number

    def __enter__(self) -> None:
        LOCK.acquire()
        if not self.lasts():
            LOCK.release()
            raise _left()

    def __exit__(self, *_: object) -> None:
        LOCK.release()


def next_of(stream: Any) -> Any:
    """The reference to the next item of a Ray generator; None where none has come.

    Raises:
        StopIteration: it has ended.
    """
    reference = stream._next_sync(timeout_s=0)
    return None if reference.is_nil() else reference


def _left() -> WorkerLostError:
    return WorkerLostError(
        "this process has left the Ray cluster (ray.shutdown()), which ends what it had "
        "started there; the rows so far are kept. Connect again, and start it again"
    )
