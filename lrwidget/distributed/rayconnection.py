"""This process's connection to a Ray cluster: made once, and noticed where it is gone."""

import contextlib
import inspect
import logging
import socket
from collections.abc import Iterator
from typing import Any

import ray
from ray._private import services

# Without the wrapper of Ray's public calls, which would start another cluster on this machine in
# the moment after the user has left this one.
get: Any = inspect.unwrap(ray.get)
kill: Any = inspect.unwrap(ray.kill)
nodes: Any = inspect.unwrap(ray.nodes)
wait: Any = inspect.unwrap(ray.wait)

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


def refuse_without_ray() -> None:
    """Raise in words where this process has left the cluster.

    Raises:
        WorkerLostError: what became of what it had started, and how to go on.
    """
    if not ray.is_initialized():
        raise _left()


@contextlib.contextmanager
def while_connected() -> Iterator[None]:
    """Raise the same in the block, in place of what Ray's calls raise where it leaves meanwhile.

    That is anything: they are in the middle of their work when its ground goes. One of it is
    SystemExit.
    """
    try:
        yield
    except Exception as error:
        if ray.is_initialized():
            raise
        raise _left() from error
    except SystemExit as error:
        raise _left() from error


def _left() -> WorkerLostError:
    return WorkerLostError(
        "this process has left the Ray cluster (ray.shutdown()), which ends what it had "
        "started there; the rows so far are kept. Connect again, and start it again"
    )
