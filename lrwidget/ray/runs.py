"""Sweeps and checks on a Ray cluster, as runners: several jobs at once, their rows in order.

The rows of a table only ever follow each other, sweep after sweep. So the jobs of a run go on side
by side, each into a table of its own, and the run's table gets the rows of the second when the
first has ended, and so on.

Where a worker is lost its job begins again, from the same seed. As long as it meets the very losses
that are on show already, to the last bit, the table just goes on. Where it does not, the rows of
two attempts would mix, so the job ends.
"""

import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from lrwidget.engine.meta import plain
from lrwidget.engine.runner import Runner, RunState, Work
from lrwidget.ray.connection import WorkerLostError
from lrwidget.ray.handle import JobHandle
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import RecordsRunner
from lrwidget.task.options import SweepOptions

# Seconds between two looks for news.
POLL = 0.05
# Seconds between two questions to the cluster what a job waits for.
ASK_EVERY = 2.0

Result = TypeVar("Result")


class RemoteRunner(Runner[Result]):
    """Something that runs as one or more jobs on a Ray cluster.

    Args:
        parts: the jobs.
        tables: where the rows of each go; may be one and the same.
        result: what the tables belong to.
        steps: in all jobs.
        waiting: says what so many jobs wait for.
    """

    def __init__(
        self,
        parts: Sequence[JobHandle],
        tables: Sequence[LRRecords],
        result: Result,
        steps: int,
        waiting: Callable[[int], str],
    ) -> None:
        super().__init__(Work(self._receive), result, steps)
        self._parts = parts
        self._tables = tables
        self._waiting = waiting
        self._waits_for = (-math.inf, 0, "")  # when that was asked, for how many, what it was
        self._wish = "go"

    # The flags of the other runners are for a thread that takes steps. This one only listens, and
    # goes on listening while the workers pause or come to their ends.

    def pause(self) -> None:
        """Pause after the steps in hand; nothing happens unless it is running."""
        if self._wish == "go":
            self._wish = "hold"

    def resume(self) -> None:
        """Go on after a pause; nothing happens unless it is paused."""
        if self._wish == "hold":
            self._wish = "go"

    def stop(self) -> None:
        """End the jobs after the steps in hand and keep their rows; returns at once."""
        if self._wish != "leave":
            self._wish = "stop"

    def close(self) -> None:
        """End the jobs at once, also in the midst of a step, and keep the rows that have come."""
        self._wish = "leave"
        super().close()

    @property
    def elapsed(self) -> float:
        """Seconds that the longest of the jobs has been running, without pauses."""
        return max(part.elapsed for part in self._parts)

    def _begin(self, number: int) -> None:
        """Say in its table that the next rows are those of this job."""
        raise NotImplementedError

    def _end(self, reason: StopReason) -> None:
        """Say in the tables how it ended."""
        raise NotImplementedError

    def _receive(self) -> Generator[None, None, StopReason]:
        reason = StopReason.FAILED
        showing = self._show()
        try:
            for part in self._parts:
                part.submit()
            while going_on := [part for part in self._parts if part.end is None]:
                time.sleep(POLL)
                for part in going_on:
                    part.take()
                next(showing, None)
                for part in going_on:
                    part.steer(self._wish)
                self._say()
                yield
            for _ in showing:
                pass
            reason = self._came_to()
        finally:
            for part in self._parts:
                part.release()
            self._end(reason)
        return reason

    def _show(self) -> Generator[None, None, None]:
        """Take over the rows that have come, job after job; at the end of the last it returns."""
        for number, (part, table) in enumerate(zip(self._parts, self._tables, strict=True)):
            self._begin(number)
            start, compared, attempt = len(table), 0, 1
            while True:
                ended = part.end is not None
                if attempt != part.attempt:
                    attempt, compared = part.attempt, 0
                again = min(len(part.records), len(table) - start)
                if compared < again:
                    if part.records.rows(compared)[: again - compared].tobytes() != (
                        table.rows(start + compared)[: again - compared].tobytes()
                    ):
                        part.refuse(two_curves(part))
                        break
                    compared = again
                for lr, loss, extra in part.records.numbered(len(table) - start):
                    table.append(lr, loss, extra)
                compared = max(compared, len(part.records))
                take_meta(part.records, table, start)
                if ended:
                    break
                yield

    def _say(self) -> None:
        """Tell how it stands."""
        under_way = [part for part in self._parts if part.end is None]
        states = [part.state for part in under_way]
        words = [
            f"{part.lost}; it began again, attempt {part.attempt}."
            for part in self._parts
            if part.lost is not None and part.attempt > 1
        ]
        if "waiting" in states:
            words.append(self._what_it_waits_for(states.count("waiting")))
        elif states and set(states) == {"starting"}:
            words.append("The worker is starting.")
        self.notice = " ".join(words)
        moves = "running" in states or "starting" in states
        state = RunState.PAUSED if self._wish == "hold" and not moves else RunState.RUNNING
        if under_way and state != self.state:
            self.state = state
            self.on_change()

    def _what_it_waits_for(self, jobs: int) -> str:
        asked, before, words = self._waits_for
        if before != jobs or time.monotonic() - asked > ASK_EVERY:
            words = self._waiting(jobs)
            self._waits_for = (time.monotonic(), jobs, words)
        return words

    def _came_to(self) -> StopReason:
        """How all of it ended; raises what one of the jobs did."""
        self._say()
        ends = [part.end for part in self._parts if part.end is not None]
        failed = [end for end in ends if end.error is not None]
        if failed:
            error = failed[0].error
            assert error is not None
            if len(self._parts) > 1:
                error.add_note(
                    f"{len(failed)} of {len(self._parts)} jobs failed; this is the first"
                )
            if failed[0].traceback:
                error.add_note(f"On the worker:\n{failed[0].traceback}")
            raise error
        reasons = [end.reason for end in ends]
        return StopReason.STOPPED if StopReason.STOPPED in reasons else reasons[-1]


class RemoteSweeps(RemoteRunner[LRRecords], RecordsRunner):
    """The sweeps of one run on a Ray cluster, one or several repeats at once.

    Args:
        parts: the jobs, one for each repeat.
        options: of the run.
        records: gets the rows.
        waiting: says what so many jobs wait for.
    """

    def __init__(
        self,
        parts: Sequence[JobHandle],
        options: SweepOptions,
        records: LRRecords,
        waiting: Callable[[int], str],
    ) -> None:
        steps = options.steps * options.repeats
        super().__init__(parts, [records] * len(parts), records, steps, waiting)
        self._options = options

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates, (start_lr, end_lr)."""
        return self._options.start_lr, self._options.end_lr

    def _begin(self, number: int) -> None:  # noqa: ARG002
        self.records.begin_sweep()

    def _end(self, reason: StopReason) -> None:
        # Each job knows only of its own part of the run.
        self.records.meta.update(options=plain(self._options), seed=self._options.seed)
        self.records.stop_reason = reason


class RemoteCheck(RemoteRunner[CheckResults]):
    """A check on a Ray cluster, all rates at once.

    Args:
        parts: the jobs, one for each rate.
        results: get the rows.
        steps: at each rate.
        waiting: says what so many jobs wait for.
    """

    def __init__(
        self,
        parts: Sequence[JobHandle],
        results: CheckResults,
        steps: int,
        waiting: Callable[[int], str],
    ) -> None:
        super().__init__(parts, results.trials, results, steps * len(parts), waiting)

    def _begin(self, number: int) -> None:
        if number:
            self._close_trial(number - 1)
        self._tables[number].stop_reason = StopReason.STOPPED  # until it ends in another way

    def _end(self, reason: StopReason) -> None:  # noqa: ARG002 - each rate has its own
        for number, table in enumerate(self._tables):
            if table.stop_reason is not None:
                self._close_trial(number)

    def _close_trial(self, number: int) -> None:
        end = self._parts[number].end
        if end is not None:
            self._tables[number].stop_reason = end.reason


def two_curves(part: JobHandle) -> WorkerLostError:
    """What to say where a second attempt meets other losses than the first."""
    return WorkerLostError(
        f"{part.lost}. It began again, and met other losses than the first attempt, so the two "
        "cannot be one curve; start it again. On one kind of machine, with deterministic kernels "
        "and a task_factory that depends on nothing but its seed, it would have gone on"
    )


def take_meta(records: LRRecords, table: LRRecords, start: int) -> None:
    """Add what is known of a job to the table of which its rows are a part, from row `start` on."""
    new = dict(records.meta)
    borders = [border + start for border in new.pop("epochs_begin_at", [])]
    skips = [[row + start, lr] for row, lr in new.pop("skipped_by_scaler", [])]
    for name, values in (("epochs_begin_at", borders), ("skipped_by_scaler", skips)):
        known = table.meta.get(name, [])
        if more := [value for value in values if value not in known]:
            table.meta[name] = [*known, *more]
    table.meta.update(new)
