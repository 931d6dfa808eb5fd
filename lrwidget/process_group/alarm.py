"""Frees a process that waits in a collective of the training step for a rank that has failed.

A rank that fails says so in the store of the process group, with the number of collectives that it
had joined. Any other rank that has joined more waits for one that will never come, for sure; where
the backend is gloo, it breaks its own connections and so gets out at once. One that has not is
still at its own work and hears of the failure in the next exchange (`lrwidget.process_group.team`).

Other backends cannot be left that way. There the wait ends in their timeout.
"""

import contextlib
import datetime
import json
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

# Seconds between two looks at the store.
POLL = 0.5
# Seconds for the last look to end; it hangs where the store's own process does.
PATIENCE = 5.0
AT_ONCE = datetime.timedelta(milliseconds=1)


class Failure(NamedTuple):
    """What a rank says when it fails.

    Args:
        rank: which.
        words: the error, on one line; empty where all it knows is that another one did.
    """

    rank: int
    words: str


class Alarm:
    """Tells the other ranks of a failure here, and hears of theirs, in a thread of its own.

    Args:
        control: the group of this sweep alone in which the ranks exchange how it stands.
    """

    def __init__(self, control: Any) -> None:
        self.heard: Failure | None = None
        self._key = f"lrwidget/{control.group_name}"
        self._store: Any = dist.distributed_c10d._get_default_store()
        self._rank = dist.get_rank()
        self._groups = _gloo_groups()
        del self._groups[control.group_name]
        self._before = _joined(self._groups)
        self._own: str | None = None
        self._wake, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lrwidget alarm", daemon=True)
        self._thread.start()

    def sound(self, words: str) -> None:
        """Tell that this rank has failed; returns at once. The first of all ranks is heard.

        Args:
            words: the error, on one line; empty where all it says is that another rank is lost.
        """
        said = {"rank": self._rank, "words": words, "joined": self._joined_since()}
        self._own = json.dumps(said)
        self._wake.set()
        if not words:
            # Those that are not connected to the lost one may wait for this one instead.
            for group in list(self._groups.values()):
                break_off(group)

    def calm(self) -> None:
        """This rank waits for nobody any longer: break nothing from now on."""
        self._over.set()
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self.calm()
        self._thread.join(PATIENCE)

    def _watch(self) -> None:
        # A store that is gone has nothing to tell: what was lost with it ends in a timeout.
        with contextlib.suppress(RuntimeError):
            while True:
                self._wake.wait(POLL)
                self._wake.clear()
                own, self._own = self._own, None
                if own is not None:
                    self._store.compare_set(self._key, "", own)
                if self._over.is_set():
                    return
                if self._store.check([self._key]):
                    said = json.loads(self._store.get(self._key))
                    self.heard = Failure(said["rank"], said["words"])
                    if self.heard.rank != self._rank:
                        self._leave_what_it_never_joins(said["joined"])

    def _leave_what_it_never_joins(self, theirs: Mapping[str, int]) -> None:
        for name, joined in self._joined_since().items():
            if joined > theirs.get(name, joined) and not self._over.is_set():
                break_off(self._groups.pop(name))

    def _joined_since(self) -> dict[str, int]:
        now = _joined(self._groups)
        return {name: now[name] - self._before[name] for name in now}


def break_off(group: Any) -> None:
    """Close all connections of a group of gloo's, so that nobody waits in it, here or elsewhere."""
    # Gloo does that when one wait has timed out; one for a rank that is lost fails before.
    for rank in dist.get_process_group_ranks(group):
        if rank != dist.get_rank():
            with contextlib.suppress(RuntimeError):
                wait: Any = dist.irecv(torch.zeros(1), src=rank, group=group)
                wait.wait(AT_ONCE)


def is_connection_error(error: BaseException | None) -> bool:
    """Whether an error says no more than that the way to another rank is broken."""
    if not isinstance(error, RuntimeError):
        return False
    signs = ("gloo/transport", "pair closure", "Connection closed by", "Connection reset by")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)


def _gloo_groups() -> dict[str, Any]:
    """All groups of this process with others that talk over gloo, by name."""
    found: dict[str, Any] = {}
    for group in dist.distributed_c10d._world.pg_map:
        try:
            backend = group._get_backend(torch.device("cpu"))
        except RuntimeError:  # it has none for the CPU
            continue
        if isinstance(backend, dist.ProcessGroupGloo) and group.size() > 1:
            found[group.group_name] = group
    return found


def _joined(groups: Mapping[str, Any]) -> dict[str, int]:
    """How many collectives this process has joined in each group."""
    cpu = torch.device("cpu")
    return {
        name: group._get_backend(cpu)._get_sequence_number_for_group()
        for name, group in list(groups.items())
    }
