"""Runners for sweeps and checks on a Ray cluster: several jobs at once, their rows in order.

A table of records is append-only and holds one sweep after the other. The jobs of a run therefore
fill separate tables in parallel, and the run's table gets the rows of the second job after the
first job has ended, and so on.

When a worker is lost, its job begins again from the same seed. While the new attempt repeats the
rows that the run's table already has, bit for bit, nothing is appended; then the table continues.
If a row differs, the job ends with an error, since the table would mix two attempts.
"""

import abc
import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from lrwidget.engine.meta import plain
from lrwidget.engine.runner import RunState, Work
from lrwidget.ray.connection import WorkerLostError
from lrwidget.ray.handle import JobHandle
from lrwidget.ray.steered import CLUSTER_QUERY_INTERVAL, POLL_INTERVAL, SteeredRunner
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import RecordsRunner
from lrwidget.task.options import SweepOptions

Result = TypeVar("Result")


class RemoteRunner(SteeredRunner[Result], abc.ABC):
    """Runs one or more jobs on a Ray cluster.

    Args:
        handles: the jobs.
        tables: the records that get the rows of each job; several jobs may share one.
        result: the result that the tables belong to.
        steps: number of steps of all jobs together.
        wait_message: returns which resources a number of jobs waits for, as a message.
    """

    def __init__(
        self,
        handles: Sequence[JobHandle],
        tables: Sequence[LRRecords],
        result: Result,
        steps: int,
        wait_message: Callable[[int], str],
    ) -> None:
        super().__init__(Work(self._receive), result, steps)
        self._handles = handles
        self._tables = tables
        self._describe_wait = wait_message
        self._wait_cache = (-math.inf, 0, "")  # time of the query, number of jobs, message

    @property
    def elapsed(self) -> float:
        """Seconds of running time of the longest job, without pauses."""
        return max(handle.elapsed for handle in self._handles)

    @abc.abstractmethod
    def _begin_job(self, number: int) -> None:
        """Prepare the table of a job for its rows."""

    @abc.abstractmethod
    def _set_stop_reason(self, reason: StopReason) -> None:
        """Set the stop reason of the tables."""

    def _receive(self) -> Generator[None, None, StopReason]:
        reason = StopReason.FAILED
        copying = self._copy_rows()
        try:
            for handle in self._handles:
                handle.submit()
            while running := [handle for handle in self._handles if handle.job_end is None]:
                time.sleep(POLL_INTERVAL)
                for handle in running:
                    handle.receive()
                next(copying, None)
                for handle in running:
                    handle.steer(self._command)
                self._update_status()
                yield
            for _ in copying:
                pass
            reason = self._final_reason()
        finally:
            for handle in self._handles:
                handle.release()
            self._set_stop_reason(reason)
        return reason

    def _copy_rows(self) -> Generator[None, None, None]:
        """Copy received rows to the tables, one job after the other, until the last has ended."""
        for number, (handle, table) in enumerate(zip(self._handles, self._tables, strict=True)):
            self._begin_job(number)
            start, compared, attempt = len(table), 0, 1
            while True:
                ended = handle.job_end is not None
                if attempt != handle.attempt:
                    attempt, compared = handle.attempt, 0
                repeated = min(len(handle.records), len(table) - start)
                if compared < repeated:
                    if handle.records.rows(compared)[: repeated - compared].tobytes() != (
                        table.rows(start + compared)[: repeated - compared].tobytes()
                    ):
                        handle.fail(mismatch_error(handle))
                        break
                    compared = repeated
                for lr, loss, extra in handle.records.numbered(len(table) - start):
                    table.append(lr, loss, extra)
                compared = max(compared, len(handle.records))
                merge_meta(handle.records, table, start)
                if ended:
                    break
                yield

    def _update_status(self) -> None:
        """Set `notice` and `state` from the states of the jobs."""
        under_way = [handle for handle in self._handles if handle.job_end is None]
        states = [handle.state for handle in under_way]
        words = [
            f"{handle.lost}; it began again, attempt {handle.attempt}."
            for handle in self._handles
            if handle.lost is not None and handle.attempt > 1
        ]
        if "waiting" in states:
            words.append(self._wait_message(states.count("waiting")))
        elif states and set(states) == {"starting"}:
            words.append("The worker is starting.")
        self.notice: str = " ".join(words)
        active = "running" in states or "starting" in states
        state = RunState.PAUSED if self._command == "pause" and not active else RunState.RUNNING
        if under_way and state != self.state:
            self.state = state
            self.on_change()

    def _wait_message(self, jobs: int) -> str:
        asked, before, words = self._wait_cache
        if before != jobs or time.monotonic() - asked > CLUSTER_QUERY_INTERVAL:
            words = self._describe_wait(jobs)
            self._wait_cache = (time.monotonic(), jobs, words)
        return words

    def _final_reason(self) -> StopReason:
        """Return the stop reason of the run, or raise the error of the first job that failed."""
        self._update_status()
        ends = [handle.job_end for handle in self._handles if handle.job_end is not None]
        failed = [end for end in ends if end.error is not None]
        if failed:
            error = failed[0].error
            assert error is not None
            if len(self._handles) > 1:
                error.add_note(
                    f"{len(failed)} of {len(self._handles)} jobs failed; this is the first"
                )
            if failed[0].traceback:
                error.add_note(f"On the worker:\n{failed[0].traceback}")
            raise error
        reasons = [end.reason for end in ends]
        return StopReason.STOPPED if StopReason.STOPPED in reasons else reasons[-1]


class RemoteSweeps(RemoteRunner[LRRecords], RecordsRunner):
    """The sweeps of one run on a Ray cluster, one or several repeats at once.

    Args:
        handles: the jobs, one for each repeat.
        options: options of the run.
        records: the records that get the rows.
        wait_message: returns which resources a number of jobs waits for, as a message.
    """

    def __init__(
        self,
        handles: Sequence[JobHandle],
        options: SweepOptions,
        records: LRRecords,
        wait_message: Callable[[int], str],
    ) -> None:
        steps = options.steps * options.repeats
        super().__init__(handles, [records] * len(handles), records, steps, wait_message)
        self._options = options

    @property
    def span(self) -> tuple[float, float]:
        """The range of learning rates, (start_lr, end_lr)."""
        return self._options.start_lr, self._options.end_lr

    def _begin_job(self, number: int) -> None:  # noqa: ARG002
        self.records.under_way = True
        self.records.begin_sweep()

    def _set_stop_reason(self, reason: StopReason) -> None:
        # The metadata of each job describes its own repeat, not the whole run.
        self.records.meta.update(options=plain(self._options), seed=self._options.seed)
        self.records.stop_reason, self.records.under_way = reason, False


class RemoteCheck(RemoteRunner[CheckResults]):
    """A check on a Ray cluster, all learning rates at once.

    Args:
        handles: the jobs, one for each learning rate.
        results: the results that get the rows.
        steps: number of steps at each learning rate.
        wait_message: returns which resources a number of jobs waits for, as a message.
    """

    def __init__(
        self,
        handles: Sequence[JobHandle],
        results: CheckResults,
        steps: int,
        wait_message: Callable[[int], str],
    ) -> None:
        super().__init__(handles, results.trials, results, steps * len(handles), wait_message)

    def _begin_job(self, number: int) -> None:
        if number:
            self._close_trial(number - 1)
        self._tables[
            number
        ].stop_reason = StopReason.STOPPED  # holds if the check ends before the job does

    def _set_stop_reason(self, reason: StopReason) -> None:  # noqa: ARG002 - each job has its own reason
        for number, table in enumerate(self._tables):
            if table.stop_reason is not None:
                self._close_trial(number)

    def _close_trial(self, number: int) -> None:
        end = self._handles[number].job_end
        if end is not None:
            self._tables[number].stop_reason = end.reason


def mismatch_error(handle: JobHandle) -> WorkerLostError:
    """Return the error for a second attempt whose losses differ from those of the first."""
    return WorkerLostError(
        f"{handle.lost}. It began again, and met other losses than the first attempt, so the two "
        "cannot be one curve; start it again. On one kind of machine, with deterministic kernels "
        "and a task_factory that depends on nothing but its seed, it would have gone on"
    )


def merge_meta(records: LRRecords, table: LRRecords, start: int) -> None:
    """Add the metadata of a job to the table that has its rows from row `start` on."""
    new = dict(records.meta)
    epochs = [row + start for row in new.pop("epochs_begin_at", [])]
    skips = [[row + start, lr] for row, lr in new.pop("skipped_by_scaler", [])]
    for name, values in (("epochs_begin_at", epochs), ("skipped_by_scaler", skips)):
        known = table.meta.get(name, [])
        if more := [value for value in values if value not in known]:
            table.meta[name] = [*known, *more]
    table.meta.update(new)
