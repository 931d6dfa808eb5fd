"""This process's connection to a Ray cluster.

When another thread calls `ray.shutdown()`, Ray's calls in this thread hang, crash, or start another
cluster on this machine. `ray.shutdown()` acquires a lock of Ray's, so holding that lock keeps the
connection open. This module alone uses Ray's private names, apart from the callback class in
`lrwidget.ray.controller`.
"""

import contextlib
import logging
import socket
import threading
from typing import Any

import ray
from ray._private import services, worker

# A fallback if Ray renames its lock: it separates only our own threads.
LOCK: Any = getattr(worker, "_connect_or_shutdown_lock", None) or threading.RLock()

# Seconds.
CONNECT_TIMEOUT = 5.0


class WorkerLostError(RuntimeError):
    """A worker of the Ray cluster or its node died, or cannot be reached."""


def connect(address: str | None) -> None:
    """Connect this process to the cluster, unless it is already connected.

    Raises:
        ConnectionError: there is no cluster at the address.
    """
    if ray.is_initialized():
        return
    # Otherwise the output of workers would appear in whichever notebook cell ran last.
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        _check_reachable(address)
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = "Ray" if address is None else f"a Ray cluster at {address!r}"
        raise ConnectionError(f"could not connect to {where}: {error}") from error


def _check_reachable(address: str | None) -> None:
    """Raise ConnectionError at once where `ray.init` would retry for 15 minutes."""
    resolved = services.canonicalize_bootstrap_address(address)  # type: ignore[arg-type]
    if resolved is None:  # Ray starts a cluster on this machine
        return
    host, _, port = resolved.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise ConnectionError(
            f"nothing answers at {resolved} ({error}); give the address that `ray start --head` "
            "printed there, or 'local' for a new cluster on this machine"
        ) from error


class Session(contextlib.AbstractContextManager[None]):
    """One connection of this process, from a `ray.init()` to the next `ray.shutdown()`.

    In a `with` block the connection stays open: `ray.shutdown()` waits for the block, which must
    therefore be short.

    Raises:
        WorkerLostError: the process is not connected, or, in `with`, this connection has ended.
    """

    def __init__(self) -> None:
        with LOCK:
            if not ray.is_initialized():
                raise _disconnected_error()
            self._number = worker.global_worker.worker_id

    def is_current(self) -> bool:
        """Return whether this is the present connection; reliable only while `LOCK` is held."""
        return ray.is_initialized() and worker.global_worker.worker_id == self._number

    def __enter__(self) -> None:
        LOCK.acquire()
        if not self.is_current():
            LOCK.release()
            raise _disconnected_error()

    def __exit__(self, *_: object) -> None:
        LOCK.release()


def next_reference(stream: Any) -> Any:
    """Return the reference to the next item of a Ray generator, or None if none is ready.

    Raises:
        StopIteration: the generator has ended.
    """
    reference = stream._next_sync(timeout_s=0)
    return None if reference.is_nil() else reference


def _disconnected_error() -> WorkerLostError:
    return WorkerLostError(
        "this process has left the Ray cluster (ray.shutdown()), which ends what it had "
        "started there; the rows so far are kept. Connect again, and start it again"
    )
