"""The processes of a torch.distributed group that sweep one model together.

All ranks take the same steps of the sweep together. Before each step, before each backward pass
that synchronizes gradients, and after each step they exchange their state over a separate gloo
group on the CPU. A rank that fails tells the others in the next exchange, so that the sweep ends
with an error on all ranks: otherwise they would wait in a collective of the training step for a
rank that never joins it. If a rank fails between those collectives, an alarm frees the others
(`process_group.alarm`). If that is not possible, or a process hangs, they end in their timeout,
which the sweep shortens to `TIMEOUT`.
"""

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import torch
import torch.distributed as dist

from lrwidget.process_group.alarm import Alarm, abort_group, is_connection_error
from lrwidget.process_group.processes import process_count, reset_interrupted_step
from lrwidget.task.task import TrainingTask, no_ranks

RESTART = "the process group is broken: start the processes anew"

# Seconds that a rank waits for another before the sweep ends with an error on this rank.
TIMEOUT = 60.0

# The loss, the validation loss and the validation metric. All exchanges have one size, so that a
# rank that fails can take part in whichever exchange the others are in.
MAX_VALUES = 3


# Attributes of the task that must be equal on all ranks, as the options of the sweep must.
COMPARED_TASK_FIELDS = ("accumulate", "clip_grad_norm", "val_every", "val_batches", "others")
# Those of which each rank has its own, but must have one where the others have.
GIVEN_TO_ALL = ("val_data", "metric")


class TeamError(RuntimeError):
    """Another rank failed or was lost."""


class Team:
    """This process as a member of the ranks that run one sweep together."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self.size: int = dist.get_world_size()
        self._steps = 0
        self._ended = self._broken = False
        try:
            self._control: Any = dist.new_group(
                backend="gloo", timeout=datetime.timedelta(seconds=TIMEOUT)
            )
        except RuntimeError as error:
            raise TeamError(
                f"not all {self.size} processes began the sweep within {TIMEOUT:g} seconds; call "
                "lr_find on every rank. Where one of them failed, its own output says why"
            ) from error
        self._alarm = Alarm(self._control)

    @classmethod
    @contextmanager
    def assembled(cls, task: TrainingTask, settings: Mapping[str, Any]) -> Iterator[Self | None]:
        """Yield the team of the default process group; None if this is the only process.

        An exception in the block is reported to the other ranks.

        Args:
            task: its `sync_ranks` synchronizes with the other ranks while the block runs.
            settings: the values that must be equal on all ranks, by name.

        Raises:
            TeamError: not all ranks began the sweep within `TIMEOUT`.
        """
        if process_count() == 1:
            yield None
            return
        with _shorter_timeout():
            team = cls({**settings, **_compared(task)})
            task.sync_ranks = team.exchange
            try:
                yield team
            except GeneratorExit:  # between two steps
                raise
            except BaseException as error:
                team.tell(error)
                reset_interrupted_step(task.model)
                if is_connection_error(error):
                    raise team._lost_rank_error(error) from error
                if team._broken:
                    error.add_note(f"the other ranks waited for this one amid a step; {RESTART}")
                raise
            finally:
                task.sync_ranks = no_ranks
                team._alarm.close()
                dist.destroy_process_group(team._control)

    def begin(self) -> None:
        """Synchronize before the first step, and compare the settings of all ranks.

        With different settings ranks would train at different rates, or wait at different points.

        Raises:
            TeamError: another rank failed, is lost, or has different settings.
        """
        settings = self._exchange([], None, None, self._settings).settings
        differing = describe_differences(settings)
        if differing:
            self._ended = True
            raise TeamError(
                f"the ranks were given different options: {differing}; give all of them the same"
            )

    def exchange(self, stop: str | None = None) -> str | None:
        """Synchronize with the other ranks; all call it at the same points of the sweep.

        Args:
            stop: the reason why this rank ends the sweep, if it does.

        Returns:
            The reason of the first rank that ends the sweep, if one does.

        Raises:
            TeamError: another rank failed or is lost.
        """
        return self._exchange([], None, stop).stop

    def mean(
        self, loss: torch.Tensor, extra: Mapping[str, float] | None
    ) -> tuple[torch.Tensor, dict[str, float] | None]:
        """Return the means over the ranks of the loss of a step and of its further measurements.

        Raises:
            TeamError: another rank failed or is lost.
        """
        further = extra or {}
        means = self._exchange([loss.item(), *further.values()], None, None).means
        self._steps += 1
        named = dict(zip(further, means[1:].tolist(), strict=False))
        return means[0], named if extra is not None else None

    def average(self, loss: float) -> float:
        """Return the mean of a loss over the ranks, the same on all, bit for bit.

        Raises:
            TeamError: another rank failed or is lost.
        """
        return float(self._exchange([loss], None, None).means[0])

    def least(self, count: int) -> int:
        """Return the smallest of the counts of all ranks.

        Raises:
            TeamError: another rank failed or is lost.
        """
        settings = self._exchange([], None, None, {"count": count}).settings
        return min(int(sent["count"]) for sent in settings)

    def tell(self, error: BaseException) -> None:
        """Report an error of this rank to the others; never raises."""
        if not self._ended:
            described = ": ".join(filter(None, (type(error).__name__, str(error))))
            words = "" if is_connection_error(error) else described
            self._alarm.announce(words)
            with contextlib.suppress(TeamError):
                self._exchange([], words, None)

    def _lost_rank_error(self, error: BaseException) -> TeamError:
        """Return the error for a connection to another rank that was lost during a step."""
        failure, step = self._alarm.failure, f"in step {self._steps + 1}"
        what = f"another process failed or was lost {step} ({error})"
        if failure is not None and failure.words:
            what = f"rank {failure.rank} failed {step} with {failure.words}"
        return TeamError(
            f"{what}; the sweep has ended and the model is restored here, but {RESTART}"
        )

    def _exchange(
        self,
        values: list[float],
        failure: str | None,
        stop: str | None,
        settings: Mapping[str, Any] | None = None,
    ) -> "_ExchangeResult":
        # Usually one small collective: messages are gathered only if a rank has one. An all-reduce
        # gives all ranks the same sum, so they decide on the same loss, bit for bit.
        has_message = failure is not None or stop is not None or settings is not None
        total = torch.zeros(1 + MAX_VALUES, dtype=torch.float64, device="cpu")
        total[0] = float(has_message)
        total[1 : 1 + len(values)] = torch.tensor(values, dtype=torch.float64, device="cpu")
        messages: list[Any] = [None] * self.size
        try:
            dist.all_reduce(total, group=self._control)
            if total[0] > 0:
                dist.all_gather_object(messages, (failure, stop, settings), group=self._control)
        except RuntimeError as error:
            self._ended = True
            self._alarm.announce("")
            abort_group(self._control)
            raise TeamError(
                f"another rank did not answer in step {self._steps + 1} within {TIMEOUT:g} "
                "seconds, or its process is lost; its own output says why. The sweep has ended and "
                f"the model is restored here, but {RESTART}"
            ) from error
        failures = {
            rank: sent[0] for rank, sent in enumerate(messages) if sent and sent[0] is not None
        }
        if failures:
            self._ended = True
            self._alarm.disarm()
            self._broken = "" in failures.values()
            raise TeamError(describe_failures(failures))
        stops = [sent[1] for sent in messages if sent and sent[1]]
        given = [sent[2] for sent in messages if sent and sent[2] is not None]
        return _ExchangeResult(total[1:] / self.size, stops[0] if stops else None, given)


class _ExchangeResult(NamedTuple):
    """The result of an exchange.

    Args:
        means: float64 tensor of `MAX_VALUES` means over the ranks.
        stop: the reason of the first rank that ends the sweep; None if none does.
        settings: the settings of all ranks in order; empty unless they are compared.
    """

    means: torch.Tensor
    stop: str | None
    settings: Sequence[Mapping[str, Any]]


def describe_failures(failures: Mapping[int, str]) -> str:
    """Return the failures of ranks as a sentence."""
    errors = [f"rank {rank} failed with {words}" for rank, words in failures.items() if words]
    what = errors[0] if errors else f"rank {min(failures)} has lost another one"
    broken = f", but {RESTART}" if "" in failures.values() else ""
    return f"{what}; the sweep has ended on all ranks, and the model is restored on each{broken}"


def describe_differences(settings: Sequence[Mapping[str, Any]]) -> str:
    """List the settings that differ from rank 0's, each with the first rank where it differs."""
    differing = []
    for name, value in settings[0].items():
        for rank, theirs in enumerate(settings):
            if theirs.get(name) != value:
                differing.append(
                    f"{name} is {value!r} on rank 0 and {theirs.get(name)!r} on rank {rank}"
                )
                break
    return ", ".join(differing)


def _compared(task: TrainingTask) -> dict[str, Any]:
    """Return what must be equal on all ranks of the attributes of a task."""
    given = {name: None if getattr(task, name) is None else "given" for name in GIVEN_TO_ALL}
    return {**{name: getattr(task, name) for name in COMPARED_TASK_FIELDS}, **given}


@contextmanager
def _shorter_timeout() -> Iterator[None]:
    """Limit the timeout of the training step's collectives to `TIMEOUT` seconds."""
    group = dist.distributed_c10d._get_default_group()
    device = torch.device("cuda" if dist.get_backend(group) == "nccl" else "cpu")
    backend = group._get_backend(device)
    before = backend.options._timeout
    if before <= datetime.timedelta(seconds=TIMEOUT):
        yield
        return
    # Public since torch 2.15, where the private one warns.
    set_timeout = getattr(dist, "set_timeout", dist.distributed_c10d._set_pg_timeout)
    set_timeout(datetime.timedelta(seconds=TIMEOUT), group)
    try:
        yield
    finally:
        set_timeout(before, group)
