"""The processes of a torch.distributed group that sweep one model together.

Every rank climbs the same ladder in step. Before each step, before each backward pass in which the
ranks wait for each other, and after each step all of them exchange how it stands, over a small
group of their own (gloo, on the CPU). A rank that fails tells the others in the next exchange, so
that the sweep ends with an error on all: otherwise they would wait in a collective of the training
step for a rank that never comes. Where it fails amid those collectives, an alarm frees them
(`process_group.alarm`); where that cannot be, or a process hangs, they end in their timeout,
which the sweep shortens to `TIMEOUT`.
"""

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import torch
import torch.distributed as dist

from lrwidget.process_group.alarm import Alarm, break_off, is_connection_error
from lrwidget.process_group.processes import forget_broken_step, process_count
from lrwidget.task.task import TrainingTask, no_ranks

ANEW = "the process group is broken: start the processes anew"

# Seconds that one rank waits for another before the sweep ends with an error on it.
TIMEOUT = 60.0

# The loss, and the loss and the metric of the validation. All exchanges are of one size, so that a
# rank that fails can tell the others in whichever they are.
MOST_VALUES = 3


# Beside the options of the sweep, what all ranks must have in common. The batches are their own.
OF_A_TASK = ("accumulate", "clip_grad_norm", "val_every", "others")


class TeamError(RuntimeError):
    """Another rank failed, or was lost."""


class Team:
    """This process's place among those that sweep together; made anew for each sweep."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._size = dist.get_world_size()
        self._steps = 0
        self._over = self._broken = False
        try:
            self._control: Any = dist.new_group(
                backend="gloo", timeout=datetime.timedelta(seconds=TIMEOUT)
            )
        except RuntimeError as error:
            raise TeamError(
                f"not all {self._size} processes began the sweep within {TIMEOUT:g} seconds; call "
                "lr_find on every rank. Where one of them failed, its own output says why"
            ) from error
        self._alarm = Alarm(self._control)

    @classmethod
    @contextmanager
    def assembled(cls, task: TrainingTask, settings: Mapping[str, Any]) -> Iterator[Self | None]:
        """The team of the default process group; None where there is one process alone.

        An exception in the block is told to the others.

        Args:
            task: is given the means to agree with the other ranks, while the block runs.
            settings: what must be equal on all ranks, by name.

        Raises:
            TeamError: not all ranks have come.
        """
        if process_count() == 1:
            yield None
            return
        with _shorter_timeout():
            team = cls({**settings, **{name: getattr(task, name) for name in OF_A_TASK}})
            task.sync_ranks = team.exchange
            try:
                yield team
            except GeneratorExit:  # between two steps
                raise
            except BaseException as error:
                team.tell(error)
                forget_broken_step(task.model)
                if is_connection_error(error):
                    raise team._in_words(error) from error
                if team._broken:
                    error.add_note(f"the other ranks waited for this one amid a step; {ANEW}")
                raise
            finally:
                task.sync_ranks = no_ranks
                team._alarm.close()
                dist.destroy_process_group(team._control)

    def begin(self) -> None:
        """Tell the others that all is ready here, and compare the settings.

        Otherwise ranks would train at other rates, or wait for each other at other points.

        Raises:
            TeamError: another rank failed, is lost, or was given other settings.
        """
        heard = self._exchange([], None, None, self._settings).settings
        differing = what_differs(heard)
        if differing:
            self._over = True
            raise TeamError(
                f"the ranks were given different options: {differing}; give all of them the same"
            )

    def exchange(self, stop: str | None = None) -> str | None:
        """Tell the others that all is well here, and hear how it stands with them.

        All ranks do, at the same points of the sweep.

        Args:
            stop: why this rank wants to end the sweep, if it does.

        Returns:
            Why one of the ranks wants to end it, if one does.

        Raises:
            TeamError: another rank failed, or is lost.
        """
        return self._exchange([], None, stop).stop

    def mean(
        self, loss: torch.Tensor, extra: Mapping[str, float] | None
    ) -> tuple[torch.Tensor, dict[str, float] | None]:
        """The means over the ranks of the loss of a step, and of what was measured beside it.

        Raises:
            TeamError: another rank failed, or is lost.
        """
        beside = extra or {}
        means = self._exchange([loss.item(), *beside.values()], None, None).means
        self._steps += 1
        named = dict(zip(beside, means[1:].tolist(), strict=False))
        return means[0], named if extra is not None else None

    def tell(self, error: BaseException) -> None:
        """Tell the others what went wrong here; never raises."""
        if not self._over:
            own = ": ".join(filter(None, (type(error).__name__, str(error))))
            words = "" if is_connection_error(error) else own
            self._alarm.sound(words)
            with contextlib.suppress(TeamError):
                self._exchange([], words, None)

    def _in_words(self, error: BaseException) -> TeamError:
        """What it means that the way to another rank broke amid a step."""
        heard, step = self._alarm.heard, f"in step {self._steps + 1}"
        what = f"another process failed or was lost {step} ({error})"
        if heard is not None and heard.words:
            what = f"rank {heard.rank} failed {step} with {heard.words}"
        return TeamError(f"{what}; the sweep has ended and the model is restored here, but {ANEW}")

    def _exchange(
        self,
        values: list[float],
        failure: str | None,
        stop: str | None,
        settings: Mapping[str, Any] | None = None,
    ) -> "_News":
        # One small collective in the usual case, where nobody has anything to say. The sum is made
        # once and handed round, so all ranks decide on the same loss, to the last bit.
        speaks = failure is not None or stop is not None or settings is not None
        total = torch.zeros(1 + MOST_VALUES, dtype=torch.float64, device="cpu")
        total[0] = float(speaks)
        total[1 : 1 + len(values)] = torch.tensor(values, dtype=torch.float64, device="cpu")
        heard: list[Any] = [None] * self._size
        try:
            dist.all_reduce(total, group=self._control)
            if total[0] > 0:
                dist.all_gather_object(heard, (failure, stop, settings), group=self._control)
        except RuntimeError as error:
            self._over = True
            self._alarm.sound("")
            break_off(self._control)
            raise TeamError(
                f"another rank did not answer in step {self._steps + 1} within {TIMEOUT:g} "
                "seconds, or its process is lost; its own output says why. The sweep has ended and "
                f"the model is restored here, but {ANEW}"
            ) from error
        failures = {
            rank: words[0] for rank, words in enumerate(heard) if words and words[0] is not None
        }
        if failures:
            self._over = True
            self._alarm.calm()
            self._broken = "" in failures.values()
            raise TeamError(what_failed(failures))
        stops = [words[1] for words in heard if words and words[1]]
        given = [words[2] for words in heard if words and words[2] is not None]
        return _News(total[1:] / self._size, stops[0] if stops else None, given)


class _News(NamedTuple):
    """What an exchange brought.

    Args:
        means: of the values, over the ranks.
        stop: why to stop, if one wants to.
        settings: of all ranks, in their order, where they are compared.
    """

    means: torch.Tensor
    stop: str | None
    settings: Sequence[Mapping[str, Any]]


def what_failed(failures: Mapping[int, str]) -> str:
    """What the ranks that failed have said, in a sentence."""
    own = [f"rank {rank} failed with {words}" for rank, words in failures.items() if words]
    what = own[0] if own else f"rank {min(failures)} has lost another one"
    broken = f", but {ANEW}" if "" in failures.values() else ""
    return f"{what}; the sweep has ended on all ranks, and the model is restored on each{broken}"


def what_differs(settings: Sequence[Mapping[str, Any]]) -> str:
    """The settings that are not those of rank 0, with the first rank where they differ."""
    differing = []
    for name, value in settings[0].items():
        for rank, theirs in enumerate(settings):
            if theirs.get(name) != value:
                differing.append(
                    f"{name} is {value!r} on rank 0 and {theirs.get(name)!r} on rank {rank}"
                )
                break
    return ", ".join(differing)


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
    # Public since torch 2.15, where the other one warns.
    set_timeout = getattr(dist, "set_timeout", dist.distributed_c10d._set_pg_timeout)
    set_timeout(datetime.timedelta(seconds=TIMEOUT), group)
    try:
        yield
    finally:
        set_timeout(before, group)
