"""The processes of a torch.distributed group that sweep one model together.

Every rank climbs the same ladder in step. Before each step, between forward and backward, and
after each step all ranks exchange how it stands with them, over a small group of their own (gloo,
on the CPU). A rank that fails tells the others in the next exchange, so that the sweep ends with an
error on all: otherwise they would wait in a collective of the training step for a rank that never
comes. What fails inside those collectives, or loses its process, ends in their timeout, which the
sweep shortens to `TIMEOUT`.
"""

import contextlib
import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import torch
import torch.distributed as dist

# Seconds that one rank waits for another before the sweep ends with an error on it.
TIMEOUT = 60.0


class TeamError(RuntimeError):
    """Another rank failed, or was lost."""


class Team:
    """This process's place among those that sweep together; made anew for each sweep.

    Attributes:
        rank: of this process.
    """

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self._size = dist.get_world_size()
        self._over = False
        self._control: Any = dist.new_group(
            backend="gloo", timeout=datetime.timedelta(seconds=TIMEOUT)
        )

    @classmethod
    @contextmanager
    def assembled(cls) -> Iterator[Self | None]:
        """The team of the default process group; None where there is one process alone."""
        if process_count() == 1:
            yield None
            return
        with _shorter_timeout():
            team = cls()
            try:
                yield team
            finally:
                dist.destroy_process_group(team._control)

    def exchange(self, loss: torch.Tensor | None = None, stop: str | None = None) -> "News":
        """Tell the others how it stands here, and hear how it stands with them.

        All ranks do, at the same points of the sweep.

        Args:
            loss: of the step just taken, a scalar.
            stop: why this rank wants to end the sweep, if it does.

        Raises:
            TeamError: another rank failed, or is lost.
        """
        return self._exchange(None if loss is None else loss.item(), None, stop)

    def tell(self, error: BaseException) -> None:
        """Tell the others, in the next exchange, what went wrong here; never raises."""
        if not self._over:
            with contextlib.suppress(TeamError):
                self._exchange(None, f"{type(error).__name__}: {error}", None)

    def _exchange(self, loss: float | None, failure: str | None, stop: str | None) -> "News":
        # One small collective in the usual case, where nobody has anything to say. The sum is made
        # once and handed round, so all ranks decide on the same loss, to the last bit.
        speaks = failure is not None or stop is not None
        total = torch.tensor([float(speaks), loss or 0.0], dtype=torch.float64)
        heard: list[Any] = [None] * self._size
        try:
            dist.all_reduce(total, group=self._control)
            if total[0] > 0:
                dist.all_gather_object(heard, (failure, stop), group=self._control)
        except RuntimeError as error:
            self._over = True
            raise TeamError(
                f"another rank did not answer within {TIMEOUT:g} seconds, or its process is lost; "
                "the sweep has ended and the model is restored here. Its own output says why; "
                "start the processes anew"
            ) from error
        failures = [(rank, words[0]) for rank, words in enumerate(heard) if words and words[0]]
        if failures:
            self._over = True
            rank, words = failures[0]
            raise TeamError(
                f"rank {rank} failed with {words}; the sweep has ended on all ranks, and the model "
                "is restored on each"
            )
        stops = [words[1] for words in heard if words and words[1]]
        return News(total[1] / self._size, stops[0] if stops else None)


class News(NamedTuple):
    """What an exchange brought: the mean loss over the ranks, and why to stop, if so."""

    loss: torch.Tensor
    stop: str | None


def process_rank() -> int:
    """The rank of this process; 0 where it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def process_count() -> int:
    """How many processes there are in the default group; 1 where this one is alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def _shorter_timeout() -> Iterator[None]:
    """Let no collective of the training step wait for a lost rank for longer than `TIMEOUT`."""
    group = dist.distributed_c10d._get_default_group()
    device = torch.device("cuda" if dist.get_backend(group) == "nccl" else "cpu")
    backend = group._get_backend(device)
    before = backend.options._timeout
    if before <= datetime.timedelta(seconds=TIMEOUT):
        yield
        return
    dist.distributed_c10d._set_pg_timeout(datetime.timedelta(seconds=TIMEOUT), group)
    try:
        yield
    finally:
        dist.distributed_c10d._set_pg_timeout(before, group)
