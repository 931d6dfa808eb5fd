"""Trains and judges the trials of a refinement, and keeps the states of those that go on."""

import copy
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import repeat
from typing import Any

from lrwidget.backup.interrupts import uninterrupted
from lrwidget.curve.search import Job
from lrwidget.data.batches import BatchSource, to_device
from lrwidget.data.counting import counted
from lrwidget.data.equal_samples import Watch, gives_single_samples
from lrwidget.data.going_on import ReadByFramework, behind
from lrwidget.data.held_out import HeldOut, held_out_of
from lrwidget.data.passed_over import in_fixed_order, samples_of
from lrwidget.data.private_copy import private_copy
from lrwidget.engine.first_step import beginning
from lrwidget.engine.rows import train_at
from lrwidget.engine.step import TrainingStep
from lrwidget.engine.step_watch import StepWatch
from lrwidget.engine.whole_step import does_all
from lrwidget.process_group.team import Team
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.restore.snapshot import SweepTarget
from lrwidget.restore.training_state import TrainingState
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a_kind
from lrwidget.text.numbers import steps_in_words

# A trial with a larger loss counts as diverged: it does not recover. Of losses that are above 1
# before the first step it is the largest multiple.
LARGEST = 1e6


class StoppedElsewhere(Exception):  # noqa: N818 - an event, as StopIteration is
    """Another rank has stopped the search, and this one ends with it."""


def does_all_itself(task: TrainingTask) -> ValueError:
    """Return the error for a task whose step tells no loss on held-out data."""
    return ValueError(
        f"{type(task).__name__.removesuffix('Task')}'s step does all of the training, so nothing "
        f"tells the loss on held-out data; {task.tells_loss_if}, or compare rates with check_lrs"
    )


@contextmanager
def trial_trainer(
    task: TrainingTask, parts: SweepTarget, team: Team | None = None
) -> Iterator["TrialTrainer"]:
    """Yield a `TrialTrainer`, whose states are released when the block ends."""
    trainer = TrialTrainer(task, parts, team)
    last = [trainer.close]
    try:
        yield trainer
    finally:
        try:
            uninterrupted(last)
        finally:
            uninterrupted(last)


class TrialTrainer:
    """Trains and evaluates trials, and restores the states that it has kept.

    Args:
        task: the task of the trials, in its session.
        parts: its objects, or copies of them.
        team: the processes that train the trials together; None for a single process.
    """

    def __init__(self, task: TrainingTask, parts: SweepTarget, team: Team | None) -> None:
        self._team = team
        self._task = task
        self._parts = parts
        self._trained = task  # the task of the trials, without the held-out data
        self._batches: list[Any] = []
        self._untrained = 0.0
        self._held: HeldOut | None = None
        self._watch: Watch | None = None
        self._result = Refinement(1.0)
        self._in_order = False
        self._reading: ReadByFramework | None = None
        self._read: dict[int, int] = {}  # the batches that it had read, by place
        self._kept: dict[int, TrainingState] = {}
        self._begin = TrainingState(task, parts)
        over = parts.begin_in_place

        def begin_in_place(to: SweepTarget, why: str) -> None:
            over(to, why)
            self._begin.switch_to(to)

        parts.begin_in_place = begin_in_place

    @property
    def nbytes(self) -> int:
        """Size of the kept states in bytes."""
        return sum(state.nbytes for state in (self._begin, *self._kept.values()))

    @property
    def repeated(self) -> Sequence[int]:
        """How many of how many held-out samples the trials trained on too, as far as seen."""
        return self._result.repeated

    def close(self) -> None:
        """Release all states."""
        self.keep(0, frozenset())
        self._begin.close()
        self._parts.begin_in_place = lambda parts, why: None  # noqa: ARG005 - no cycle

    @contextmanager
    def evaluating_on(self, held_out: Any, result: Refinement) -> Iterator[None]:
        """Choose and read the held-out data, and leave it out of the trials in the block."""
        task = self._task
        with ExitStack() as stack:
            loader = task.read_from
            if not task.reads_itself:
                self._trained = copy.copy(task)
                loader = private_copy(loader)
            held = held_out_of(
                loader,
                held_out,
                task.validation,
                name=task.validation_name,
                as_batches=task.held_out_loader,
            )
            try:
                self._batches = held.batches()
            except Exception as error:
                error.add_note(
                    f"this was while held-out data ({held.words}) was read, in batches that may be "
                    "smaller than those of training; where they must be whole, give val_data, or "
                    "held_out= with data of its own"
                )
                raise
            if self._team is not None:
                # A wrapped model may wait for the other ranks in each batch.
                del self._batches[self._team.least(len(self._batches)) :]
            result.held_out = held.words
            if self._team is None:
                given = [getattr(batch, "batch", batch) for batch in self._batches]
                result.held_out_samples = held.count or samples_of(given)
                self._watch = Watch(
                    given, whole=gives_single_samples(loader), lazily=task.reads_itself
                )
                self._result = result
            if not self._batches:
                raise ValueError(f"{held.words} is empty; give held_out= with data of its own")
            self._in_order = in_fixed_order(loader)
            self._begin.restore()
            training = stack.enter_context(held.left_out_of(loader))
            if task.reads_itself and training is not loader:
                raise ValueError(
                    f"nothing can be held out of {a_kind(loader)}, which "
                    f"{type(task).__name__.removesuffix('Task')} reads itself; give validation "
                    "data, or held_out= with data to judge the trials by"
                )
            if task.reads_itself:
                self._reading = ReadByFramework(loader)
                stack.callback(self._reading.close)
            self._begin.save_loaders()  # without the held-out data, if it is the task's own
            if not task.reads_itself:
                self._trained.data = training
            self._choose_evaluation(held)
            self._held = held
            step = beginning(self._trained, self._parts, self._team, RecordsTable())
            try:
                result.untrained = self._mean_over_ranks(step.evaluate(self._batches)["val_loss"])
                result.held_out += task.judged_by
            except Exception as error:
                own = "" if task.reads_itself else "evaluate= (evaluate(batch) -> loss), "
                error.add_note(
                    f"this was the loss on held-out data ({held.words}), measured in eval mode; "
                    f"where model or loss cannot do that, give {own}validation data, or held_out= "
                    "with data of its own"
                )
                raise
            finally:
                step.close()
            self._untrained = result.untrained
            yield

    def _short_batch(self) -> str:
        """Say that the last batch that was read is not whole, or nothing if it is."""
        size = self._trained.batch_size
        read = counted(self._watch.last) if self._watch is not None else None
        if size is None or read is None or read >= size:
            return ""
        return f"the last batch of a pass, of {read}, is smaller"

    def run(self, job: Job, trial: Trial) -> Generator[None, None, float]:
        """Train, and return the held-out loss: infinity if the trial broke off.

        Raises:
            StoppedElsewhere: another rank has stopped.
        """
        state = self._begin if job.begin == 0 else self._kept[job.place]
        state.restore()
        rates = repeat(job.lr, job.end - job.begin)
        task = self._continued(job)
        if self._watch is not None:
            self._watch.begin(job.begin * task.accumulate)
        records = trial.records
        records.stop_reason = StopReason.STOPPED
        try:
            work = train_at(
                task,
                self._parts,
                rates,
                records,
                stop_at_divergence=False,
                team=self._team,
                watch=self._watch,
            )
            with closing(work):
                ended = yield from self._until_diverged(work, records)
            if self._watch is not None:
                self._result.repeated = self._watch.repeated
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            records.stop_reason = StopReason.FAILED
            held = self._held
            if held is not None and (smaller := held.shrinks or self._short_batch()):
                error.add_note(
                    f"trials train without the held-out data ({held.words}), so that "
                    f"{smaller}; where they must be whole, give val_data, or held_out= "
                    "with data of its own"
                )
            raise
        records.stop_reason = ended
        if ended is StopReason.EXHAUSTED:
            raise ValueError(
                f"the data ended after {steps_in_words(len(records))} and cannot be read again, "
                "but each trial needs the same batches; give a DataLoader, a Dataset or a list"
            )
        if ended is StopReason.STOPPED:
            raise StoppedElsewhere
        if ended is not StopReason.FINISHED:
            return math.inf
        step = TrainingStep(self._trained, self._parts, self._team)
        try:
            score = self._mean_over_ranks(step.evaluate(self._batches)["val_loss"])
        finally:
            step.close()
        if math.isfinite(score) and abs(score) <= self._largest(records):
            return score
        finite = math.isfinite(score)
        records.stop_reason = StopReason.DIVERGED if finite else StopReason.NON_FINITE
        return math.inf

    def keep(self, place: int, wanted: frozenset[int]) -> None:
        """Keep the current state as that of `place` if it is wanted; drop unwanted states."""
        for old in [one for one in self._kept if one not in wanted or one == place]:
            self._kept.pop(old).close()
        if place in wanted:
            self._kept[place] = TrainingState(self._task, self._parts)
            self._read[place] = 0 if self._reading is None else self._reading.count

    def _mean_over_ranks(self, loss: float) -> float:
        """Return the mean of a held-out loss over the ranks, which all measure as many batches."""
        return loss if self._team is None else self._team.average(loss)

    def _until_diverged(
        self, work: Generator[None, None, StopReason], records: RecordsTable
    ) -> Generator[None, None, StopReason]:
        seen, largest = len(records), 0.0
        while True:
            try:
                next(work)
            except StopIteration as end:
                reason: StopReason = end.value
                return reason
            if len(records) > seen:
                fresh = records.rows(seen)[:, 1]
                seen += len(fresh)
                largest = largest or self._largest(records)
                if not (abs(fresh) <= largest).all():
                    return StopReason.DIVERGED
            yield

    def _largest(self, records: RecordsTable) -> float:
        """Return the largest loss of a trial that has not diverged."""
        before: list[float] = [1.0, self._untrained, *records.loss[:1].tolist()]
        return LARGEST * max(abs(loss) for loss in before if math.isfinite(loss))

    def _continued(self, job: Job) -> TrainingTask:
        """Return the task to train; in data of a fixed order, read batches are skipped."""
        task = self._trained
        goes_on = job.begin > 0 and self._in_order
        if self._reading is not None:
            self._reading.begin(self._read[job.place] if goes_on else 0, job.begin)
        if task.reads_itself or not goes_on:
            return task
        continued = copy.copy(task)
        continued.data = behind(task.data, job.begin * task.accumulate)
        return continued

    def _choose_evaluation(self, held: HeldOut) -> None:
        """Use the user's own step for evaluation too, if it only computes the loss.

        Raises:
            ValueError: the task has no way to compute the held-out loss.
        """
        task = self._trained
        if task.step is None or task.evaluate is not None:
            return
        if task.reads_itself:
            raise does_all_itself(task)
        source = BatchSource(task.data, on_epoch=lambda _: None)
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
