"""Free a process that waits in a collective of the training step for a rank that has failed.

A rank that fails writes to the store of the process group how many collectives it had joined. A
rank that has joined more waits for a collective that cannot complete. With the gloo backend it
closes its own connections, which ends the wait at once. A rank that has not joined more learns of
the failure in the next exchange (`lrwidget.process_group.team`).

With other backends the wait ends in their timeout.
"""

import contextlib
import datetime
import json
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

# Seconds between two reads of the store.
POLL_INTERVAL = 0.5
# Seconds to wait for the thread to end; it hangs if the process that has the store hangs.
CLOSE_TIMEOUT = 5.0
IMMEDIATE = datetime.timedelta(milliseconds=1)


class Failure(NamedTuple):
    """The announcement of a rank that fails.

    Args:
        rank: the rank.
        words: its error, on one line; empty if its error is only that another rank is lost.
    """

    rank: int
    words: str


class Alarm:
    """Announces a failure of this rank to the others and watches for theirs, in a thread.

    Args:
        control: the group in which the ranks of this sweep exchange their state.

    Attributes:
        failure: the first announced failure of any rank; None before.
    """

    def __init__(self, control: Any) -> None:
        self.failure: Failure | None = None
        self._key = f"lrwidget/{control.group_name}"
        self._store: Any = dist.distributed_c10d._get_default_store()
        self._rank = dist.get_rank()
        self._groups = _gloo_groups()
        del self._groups[control.group_name]
        self._initial_counts = _collective_counts(self._groups)
        self._announcement: str | None = None
        self._wake, self._disarmed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lrwidget alarm", daemon=True)
        self._thread.start()

    def announce(self, words: str) -> None:
        """Announce that this rank has failed; returns at once. Only the first announcement counts.

        Args:
            words: the error, on one line; empty if it only says that another rank is lost.
        """
        said = {"rank": self._rank, "words": words, "joined": self._counts_since_start()}
        self._announcement = json.dumps(said)
        self._wake.set()
        if not words:
            # Ranks without a connection to the lost rank may wait for this one instead.
            for group in list(self._groups.values()):
                abort_group(group)

    def disarm(self) -> None:
        """Abort no groups from now on: this rank waits in no collective."""
        self._disarmed.set()
        self._wake.set()

    def close(self) -> None:
        """End the watching thread."""
        self.disarm()
        self._thread.join(CLOSE_TIMEOUT)

    def _watch(self) -> None:
        # If the store is gone, no failure can be announced, and a wait ends in its timeout.
        with contextlib.suppress(RuntimeError):
            while True:
                self._wake.wait(POLL_INTERVAL)
                self._wake.clear()
                own, self._announcement = self._announcement, None
                if own is not None:
                    self._store.compare_set(self._key, "", own)
                if self._disarmed.is_set():
                    return
                if self._store.check([self._key]):
                    said = json.loads(self._store.get(self._key))
                    self.failure = Failure(said["rank"], said["words"])
                    if self.failure.rank != self._rank:
                        self._abort_unmatched_groups(said["joined"])

    def _abort_unmatched_groups(self, theirs: Mapping[str, int]) -> None:
        for name, joined in self._counts_since_start().items():
            if joined > theirs.get(name, joined) and not self._disarmed.is_set():
                abort_group(self._groups.pop(name))

    def _counts_since_start(self) -> dict[str, int]:
        now = _collective_counts(self._groups)
        return {name: now[name] - self._initial_counts[name] for name in now}


def abort_group(group: Any) -> None:
    """Close all connections of a gloo group, which ends every wait in it, on all ranks."""
    # Gloo closes them when one wait times out. A wait for a lost rank fails before its timeout, so
    # try all ranks.
    for rank in dist.get_process_group_ranks(group):
        if rank != dist.get_rank():
            with contextlib.suppress(RuntimeError):
                wait: Any = dist.irecv(torch.zeros(1), src=rank, group=group)
                wait.wait(IMMEDIATE)


def is_connection_error(error: BaseException | None) -> bool:
    """Return whether an error only says that the connection to another rank is lost."""
    if not isinstance(error, RuntimeError):
        return False
    signs = ("gloo/transport", "pair closure", "Connection closed by", "Connection reset by")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)


def _gloo_groups() -> dict[str, Any]:
    """Return the gloo groups of this process with other processes, by name."""
    groups: dict[str, Any] = {}
    for group in dist.distributed_c10d._world.pg_map:
        try:
            backend = group._get_backend(torch.device("cpu"))
        except RuntimeError:  # the group has no backend for the CPU
            continue
        if isinstance(backend, dist.ProcessGroupGloo) and group.size() > 1:
            groups[group.group_name] = group
    return groups


def _collective_counts(groups: Mapping[str, Any]) -> dict[str, int]:
    """Return how many collectives this process has joined in each group, by name."""
    cpu = torch.device("cpu")
    return {
        name: group._get_backend(cpu)._get_sequence_number_for_group()
        for name, group in list(groups.items())
    }
