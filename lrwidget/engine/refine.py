"""Refines a suggested rate: runs short trials around it and compares losses on held-out data.

`lrwidget.curve.search` decides which rates to try and which to choose. All trials train the same
objects within one preparation of the task. Each starts from the same state, which is restored
before it; a trial that is continued later starts from its own last state.
"""

import copy
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from itertools import repeat
from typing import Any

from lrwidget.backup.interrupts import uninterrupted
from lrwidget.curve.search import BUDGET, Job, Search, centre_of, first_length, longest_trial
from lrwidget.data.batches import BatchSource, to_device
from lrwidget.data.held_out import HeldOut, held_out_of, refuse_bad_share
from lrwidget.data.passed_over import Skipping, in_fixed_order, private_copy
from lrwidget.engine.check import refuse_if_read_once
from lrwidget.engine.first_step import beginning
from lrwidget.engine.step import TrainingStep
from lrwidget.engine.step_watch import StepWatch
from lrwidget.engine.sweep import sweep, train_at
from lrwidget.engine.whole_step import does_all
from lrwidget.process_group.processes import process_count
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.restore.model_lock import exclusive
from lrwidget.restore.moment import Moment
from lrwidget.restore.snapshot import SweepTarget, prepared
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask
from lrwidget.validation import whole_number

# A trial with a larger loss counts as diverged: it does not recover.
LARGEST = 1e6


def refine(
    task: TrainingTask,
    records: LRRecords | None = None,
    budget: int = BUDGET,
    planned_steps: int | None = None,
    held_out: Any = None,
) -> Refinement:
    """Try rates around the suggestion in short trials, and restore the task afterwards.

    Args:
        task: the task to train.
        records: records of a sweep of this task; without them a sweep of 100 steps is run first.
        budget: upper limit of the optimizer steps, including those of the sweep.
        planned_steps: steps of the planned training. The longer it is than the trials, the lower
            the rate, and the longer they may become. Without it the rate is .15 decades below the
            best trial. Leave it out for a schedule that decays to zero, which needs no lower rate.
        held_out: the data for comparing trials, which they do not train on: data, indices of the
            data set, or a share of it. By default `val_data` of the task, else a fifth of its data,
            at most 512 samples. Give it where samples depend on each other (several of one patient,
            pairs that share an item).

    Returns:
        The result: `.lr`, `.confidence`, `.reason`, `.steps`, `.frame`, `.summary`. The records
        also hold it as `refinement`. A KeyboardInterrupt ends the search and keeps its results.

    Raises:
        TypeError, ValueError: an argument is invalid.
        Exception: whatever the task raises.
    """
    budget = whole_number("budget", budget, 1)
    options = SweepOptions()
    refuse_at_the_door(task, planned_steps, held_out)
    # Raises for a budget that is too small, before the sweep is run.
    first_length(budget, budget - (options.steps if records is None else len(records)))
    if records is None:
        records = LRRecords()
        try:
            with closing(sweep(task, options, records)) as steps:
                for _ in steps:
                    pass
        except KeyboardInterrupt:
            stopped = refinement_of(records, budget, planned_steps)
            stopped.stop_reason = StopReason.STOPPED
            return stopped
    result = refinement_of(records, budget, planned_steps)
    with suppress(KeyboardInterrupt):
        refine_all(task, records, result, held_out)
    return result


def refine_all(
    task: TrainingTask,
    records: LRRecords,
    result: Refinement,
    held_out: Any = None,
    on_step: Callable[[], object] = lambda: None,
) -> None:
    """Run the search to its end; the records keep the result even if the search fails.

    Raises:
        KeyboardInterrupt, Exception: the search was interrupted, or the task raised.
    """
    try:
        with closing(refining(task, result, held_out)) as work:
            for _ in work:
                on_step()
    except KeyboardInterrupt:
        result.stop_reason = StopReason.STOPPED
        raise
    finally:
        records.meta["refinement"] = result.as_json()


def refuse_at_the_door(task: TrainingTask, planned_steps: int | None, held_out: Any) -> None:
    """Refuse a task or arguments that `refining` cannot use, before a sweep is run.

    Raises:
        TypeError, ValueError: an argument is invalid, or the task cannot be refined.
        RuntimeError: several processes train together.
    """
    if planned_steps is not None:
        whole_number("planned_steps", planned_steps, 1)
    refuse_if_read_once(task)
    refuse_several_processes()
    refuse_bad_share(held_out)
    if task.reads_itself and task.evaluate is None:
        raise _does_all_itself(task)


def refinement_of(records: LRRecords, budget: int, planned_steps: int | None) -> Refinement:
    """Return an empty result, centred on the rate that the records suggest."""
    suggested = records.suggestion.lr
    return Refinement(centre_of(suggested), suggested, len(records), budget, planned_steps)


def refining(
    task: TrainingTask, result: Refinement, held_out: Any = None, *, locked: bool = False
) -> Generator[None, None, StopReason]:
    """Run the search one optimizer step for each `next`, and return why it ended.

    However it ends, the task's own objects and the random generators are restored bit for bit.

    Args:
        task: the task to train.
        result: an empty result, which the search fills.
        held_out: as in `refine`.
        locked: whether the caller holds the `ModelLock` of the task.
    """
    refuse_if_read_once(task)
    refuse_several_processes()
    left = result.budget - result.sweep_steps
    first, longest = first_length(result.budget, left), longest_trial(result.planned_steps)
    search = Search(result.centre, left, first, longest)
    result.length = search.length
    reason = StopReason.FAILED
    try:
        alone = nullcontext() if locked else exclusive(task)
        with (
            alone,
            task.session(),
            prepared(task, None) as parts,
            _bench(task, parts) as bench,
            bench.judging_by(held_out, result),
        ):
            yield from _go_through(search, bench, result)
        reason = StopReason.FINISHED
    except (GeneratorExit, KeyboardInterrupt):
        reason = StopReason.STOPPED
        raise
    finally:
        result.stop_reason = reason
    return reason


def _does_all_itself(task: TrainingTask) -> ValueError:
    return ValueError(
        f"{type(task).__name__.removesuffix('Task')}'s step does all of the training, so nothing "
        "tells the loss on held-out data; describe it as a TrainingTask(model, optimizer, loss_fn, "
        "loader), or compare rates with check_lrs"
    )


def refuse_several_processes() -> None:
    """Raise RuntimeError if several processes train together."""
    if process_count() > 1:
        raise RuntimeError(
            f"{process_count()} processes train together, and trials are not shared out among "
            "them yet; refine in one process, or compare rates with check_lrs, which all ranks run"
        )


def _go_through(search: Search, bench: "_Bench", result: Refinement) -> Generator[None, None, None]:
    trials: dict[int, Trial] = {}
    jobs = search.jobs()
    job = next(jobs)
    while True:
        if job.begin == 0:
            # A rate that was tried before starts anew if its state was not kept.
            old = trials.pop(job.place, None)
            trial = trials[job.place] = Trial(job.lr)
            if old is not None:
                result.steps_again += len(old.records)
                trial.held_out.update(old.held_out)
                result.trials.remove(old)
            result.trials.append(trial)
        trial = trials[job.place]
        score = yield from bench.run(job, trial)
        if math.isfinite(score):
            trial.held_out[job.end] = score
        search.left = result.budget - result.sweep_steps  # the budget may have been raised
        try:
            following = jobs.send((score, len(trial.records) - job.begin))
        except StopIteration:
            result.length = search.length
            return
        result.length = search.length
        bench.keep(job.place, search.wanted)
        result.kept_bytes = max(result.kept_bytes, bench.nbytes)
        job = following


@contextmanager
def _bench(task: TrainingTask, parts: SweepTarget) -> Iterator["_Bench"]:
    bench = _Bench(task, parts)
    last = [bench.close]
    try:
        yield bench
    finally:
        try:
            uninterrupted(last)
        finally:
            uninterrupted(last)


class _Bench:
    """Trains and evaluates trials, and restores the states that it has kept."""

    def __init__(self, task: TrainingTask, parts: SweepTarget) -> None:
        self._task = task
        self._parts = parts
        self._trained = task  # the task of the trials, without the held-out data
        self._batches: list[Any] = []
        self._kept: dict[int, Moment] = {}
        self._begin = Moment(task, parts)
        over = parts.begin_in_place

        def begin_in_place(to: SweepTarget, why: str) -> None:
            over(to, why)
            self._begin.goes_over_to(to)

        parts.begin_in_place = begin_in_place

    @property
    def nbytes(self) -> int:
        """Size of the kept states in bytes."""
        return sum(moment.nbytes for moment in (self._begin, *self._kept.values()))

    def close(self) -> None:
        """Release all states."""
        self.keep(0, frozenset())
        self._begin.close()
        self._parts.begin_in_place = lambda parts, why: None  # noqa: ARG005 - no cycle

    @contextmanager
    def judging_by(self, held_out: Any, result: Refinement) -> Iterator[None]:
        """Choose and read the held-out data, and leave it out of the trials in the block."""
        task = self._task
        with ExitStack() as stack:
            loader = task.read_from
            if not task.reads_itself:
                self._trained = copy.copy(task)
                loader = private_copy(loader)
            own_step = task.step is not None and not task.reads_itself
            held = held_out_of(loader, held_out, task.val_data, own_step=own_step)
            self._batches = held.batches()
            result.held_out = held.words
            training = stack.enter_context(held.left_out_of(loader))
            if not task.reads_itself:
                self._trained.data = training
                self._trained.val_data = None
            self._begin.restore()
            self._settle_how_to_measure(held)
            step = beginning(self._trained, self._parts, None, RecordsTable())
            result.untrained = step.evaluate(self._batches)["val_loss"]
            step.close()
            yield

    def run(self, job: Job, trial: Trial) -> Generator[None, None, float]:
        """Train, and return the held-out loss: infinity if the trial broke off."""
        state = self._begin if job.begin == 0 else self._kept[job.place]
        state.restore()
        rates = repeat(job.lr, job.end - job.begin)
        task = self._going_on(job)
        records = trial.records
        records.stop_reason = StopReason.STOPPED
        try:
            work = train_at(task, self._parts, rates, records, stop_at_divergence=False, team=None)
            with closing(work):
                ended = yield from self._until_it_leaves(work, records)
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException:
            records.stop_reason = StopReason.FAILED
            raise
        records.stop_reason = ended
        if ended is StopReason.EXHAUSTED:
            raise ValueError(
                f"the data ended after {len(records)} steps and cannot be read again, but each "
                "trial needs the same batches; give a DataLoader, a Dataset or a list"
            )
        if ended is not StopReason.FINISHED:
            return math.inf
        step = TrainingStep(self._trained, self._parts)
        try:
            score = step.evaluate(self._batches)["val_loss"]
        finally:
            step.close()
        if math.isfinite(score) and abs(score) <= LARGEST:
            return score
        records.stop_reason = StopReason.DIVERGED
        return math.inf

    def keep(self, place: int, wanted: frozenset[int]) -> None:
        """Keep the current state as that of `place` if it is wanted; drop unwanted states."""
        for old in [one for one in self._kept if one not in wanted or one == place]:
            self._kept.pop(old).close()
        if place in wanted:
            self._kept[place] = Moment(self._task, self._parts)

    def _until_it_leaves(
        self, work: Generator[None, None, StopReason], records: RecordsTable
    ) -> Generator[None, None, StopReason]:
        seen = len(records)
        while True:
            try:
                next(work)
            except StopIteration as end:
                reason: StopReason = end.value
                return reason
            if len(records) > seen:
                fresh = records.rows(seen)[:, 1]
                seen += len(fresh)
                if not (abs(fresh) <= LARGEST).all():
                    return StopReason.DIVERGED
            yield

    def _going_on(self, job: Job) -> TrainingTask:
        """Return the task to train; in data of a fixed order, read batches are skipped."""
        task = self._trained
        if job.begin == 0 or task.reads_itself or not in_fixed_order(task.data):
            return task
        going_on = copy.copy(task)
        going_on.data = Skipping(task.data, job.begin * task.accumulate)
        return going_on

    def _settle_how_to_measure(self, held: HeldOut) -> None:
        """Use the user's own step for evaluation too, if it only computes the loss.

        Raises:
            ValueError: the task has no way to compute the held-out loss.
        """
        task = self._trained
        if task.step is None or task.evaluate is not None:
            return
        if task.reads_itself:
            raise _does_all_itself(task)
        source = BatchSource(task.data, on_epoch=lambda: None)
        watch = StepWatch(self._parts.optimizer)
        try:
            watch.open()
            watch.begin(looks=True)
            batch = to_device(next(source), task.device)
            params = [p for group in self._parts.optimizer.param_groups for p in group["params"]]
            trains, _ = does_all(task.step, batch, params, watch)
        finally:
            watch.close()
            source.close()
            self._begin.restore()
        if not trains:
            task.evaluate = task.step
        elif task.loss_fn is None:
            raise ValueError(
                "step does all of the training, so nothing tells the loss on held-out data "
                f"({held.words}); give TrainingTask(..., step=step, evaluate=evaluate), with "
                "evaluate(batch) -> loss, or let step only return the loss"
            )
