"""Trains row after row: its batches, one optimizer step at its rate, its loss."""

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import torch

from lrwidget.curve.few_samples import FEW_SAMPLES
from lrwidget.curve.stop_rule import DivergenceRule
from lrwidget.data.batches import BatchSource, Exhausted
from lrwidget.data.distinct import RowCount, few_samples_of
from lrwidget.data.equal_samples import Watch
from lrwidget.data.given_batches import GivenBatches
from lrwidget.data.passed_over import keeper
from lrwidget.data.validation_batches import validation_batches
from lrwidget.engine.first_step import FirstStep, beginning
from lrwidget.engine.rate_watch import RateWatch
from lrwidget.engine.readback import Reading, reader_for
from lrwidget.engine.step import TrainingStep
from lrwidget.process_group.team import Team
from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.restore.snapshot import SweepTarget
from lrwidget.task.ended_iterator import ended_iterator
from lrwidget.task.task import TrainingTask
from lrwidget.text.numbers import rate_in_words

# A scaler that starts at 65536 halves its scale at each skip; after this many skips the gradients
# are not finite at any scale.
MOST_SKIPS = 32


def train_at(
    task: TrainingTask,
    parts: SweepTarget,
    rates: Iterable[float],
    records: RecordsTable,
    *,
    stop_at_divergence: bool,
    team: Team | None,
    val_data: Any = None,
    last: int | None = None,
    watch: Watch | None = None,
) -> Generator[None, None, StopReason]:
    """Train one step at each of `rates`, and measure on `val_data`; return the stop reason.

    Before step `last`, counted from 0, it is measured whatever `val_every` of the task says. The
    batches that are trained on are shown to `watch`.
    """
    if team is not None:
        team.begin()  # no rank may wait in a collective for one that could not begin
    rule = DivergenceRule() if stop_at_divergence else None
    trainer = _RowTrainer(task, parts, records, rule=rule, team=team, watch=watch)
    try:
        trainer.open()
        held_out = validation_batches(val_data, task.val_batches)
        for number, lr in enumerate(rates):
            # Before validating, reading and stepping, in which ranks may wait for each other.
            if stop := trainer.stopped_elsewhere():
                return stop
            extra = None
            if held_out and (number % task.val_every == 0 or number == last):
                extra = trainer.step.evaluate(held_out)
            reason = trainer.train(lr, extra)
            if reason is not None:
                return reason
            yield
        return trainer.stopped_elsewhere() or trainer.flush() or StopReason.FINISHED
    except Exhausted:
        trainer.stop_elsewhere(StopReason.EXHAUSTED)
        return trainer.flush() or StopReason.EXHAUSTED
    except GeneratorExit:
        trainer.stop_elsewhere(StopReason.STOPPED)
        trainer.flush_what_there_is()
        raise
    except BaseException as error:
        if team is not None:
            team.tell(error)
        trainer.flush_what_there_is()
        raise
    finally:
        trainer.close()


class _RowTrainer:
    """Trains the rows of one sweep or trial, with all that is watched meanwhile.

    Args:
        rule: ends the rows at divergence; None lets them go on.
        team: the processes that step together; None for a single one.
        watch: is shown the batches.

    Attributes:
        step: takes the optimizer steps.
    """

    def __init__(
        self,
        task: TrainingTask,
        parts: SweepTarget,
        records: RecordsTable,
        *,
        rule: DivergenceRule | None,
        team: Team | None,
        watch: Watch | None,
    ) -> None:
        self.step: TrainingStep | FirstStep = beginning(task, parts, team, records)
        self._begins = True
        self._records, self._team, self._watch = records, team, watch
        self._batches_before_last = range(task.accumulate - 1)
        self._reader = reader_for(task.device if team is None else torch.device("cpu"))
        self._recorder = _RowRecorder(records, rule)
        self._samples = _SampleCount(task, records, 1 if team is None else team.size)
        # Not a method of this object, which would then live on in a circle of references.
        self._source = BatchSource(task.data, on_epoch=_noted_in(self._recorder, self._samples))
        self._keep = keeper(task.data)
        self._given = GivenBatches(task.data)
        self._use = RateWatch(parts, own_step=task.step is not None)

    def open(self) -> None:
        """Begin to watch the optimizer."""
        self.step.open()

    def close(self) -> None:
        """End what was begun, and note in the records' meta what was noticed."""
        self.step.close()
        self._source.close()
        self._given.put_back()
        self._use.close(self._records)
        self._recorder.drop_later_epochs()
        if self._watch is None:
            self._samples.note_few()

    def train(self, lr: float, extra: dict[str, float] | None) -> StopReason | None:
        """Take one optimizer step at a rate, and record it; return why the rows end, if they do."""
        # Not in the first step, which may be repeated on another model.
        measured = not self._begins and lr >= self._use.next_rate
        if measured:
            self._use.begin(lr)
        skipped: list[torch.Tensor] = []
        while True:
            batches = self._read()
            if stop := self.stopped_elsewhere():
                return stop
            loss = self._train_on(batches, lr)
            if loss is not None:
                break
            if self.step.skipped is None:
                continue
            self._recorder.mark_skip(lr)
            skipped.append(self.step.skipped)
            if len(skipped) == MOST_SKIPS:
                return self.flush() or _reason_after_skips(lr, skipped)
        if measured:
            self._use.end()
        if self._begins and isinstance(self.step, FirstStep):
            self.step = self.step.proven
        self._begins = False
        if self._team is not None:
            loss, extra = self._team.mean(loss, extra)
        reason = self._recorder.add(self._reader.push(lr, loss, extra))
        self._recorder.step += 1
        return reason

    def _read(self) -> list[Any]:
        batches = [self._keep(next(self._source)) for _ in self._batches_before_last]
        batches.append(next(self._source))
        return batches

    def _train_on(self, batches: Sequence[Any], lr: float) -> torch.Tensor | None:
        """Call the step once, with what watches the batches."""
        if self._samples.counts:
            self._samples.read(batches)
        if self._watch is not None:
            self._watch.read(batches)
        if self._given.looks:
            self._given.before(batches)
        # Set before each call: a custom step that accumulates may contain a scheduler.
        self.step.set_rate(lr)
        try:
            loss = self.step(batches)
        except StopIteration as error:  # of an optimizer or a hook
            raise ended_iterator(error, "the optimizer or a hook") from error
        if self._given.looks:
            self._given.after()
        return loss

    def flush(self) -> StopReason | None:
        """Record the rows whose losses are still on the device; return why they end, if so."""
        return self._recorder.add(self._reader.flush())

    def flush_what_there_is(self) -> None:
        """Record these rows after an error."""
        try:
            self.flush()
        except RuntimeError:
            # The device has failed and its losses are lost; the first error is the one to raise.
            return

    def stopped_elsewhere(self) -> StopReason | None:
        """Return why another rank has stopped, if one has; all ranks call this together."""
        stop = None if self._team is None else self._team.exchange()
        return StopReason(stop) if stop else None

    def stop_elsewhere(self, reason: StopReason) -> None:
        """Tell the other ranks that this one has stopped."""
        if self._team is not None:
            self._team.exchange(stop=reason)


class _RowRecorder:
    """Appends rows to the records until one of them ends the sweep; drops the rows after it."""

    def __init__(self, records: RecordsTable, rule: DivergenceRule | None) -> None:
        self.step = len(records)
        self._records = records
        self._rule = rule

    def add(self, readings: Iterable[Reading]) -> StopReason | None:
        for lr, loss, extra in readings:
            self._records.append(lr, loss, extra)
            if loss - loss != 0.0:  # NaN or infinite
                return StopReason.NON_FINITE
            if self._rule is not None and self._rule.diverged(lr, loss):
                return StopReason.DIVERGED
        return None

    def mark_epoch(self) -> None:
        self._records.meta.setdefault("epochs_begin_at", []).append(self.step)

    def drop_later_epochs(self) -> None:
        """Drop the starts of epochs that began after the last row that was kept."""
        borders = self._records.meta.get("epochs_begin_at", [])
        borders[:] = [border for border in borders if border < len(self._records)]

    def mark_skip(self, lr: float) -> None:
        self._records.meta.setdefault("skipped_by_scaler", []).append([self.step, lr])


class _SampleCount:
    """Notes in the records' meta how many samples a pass has, and how many of them differ.

    Args:
        ranks: how many processes read as many.

    Attributes:
        counts: whether more batches are to be read.
    """

    def __init__(self, task: TrainingTask, records: RecordsTable, ranks: int) -> None:
        self._task, self._records, self._ranks = task, records, ranks
        self._count = RowCount(FEW_SAMPLES, task.data) if not task.reads_itself else None
        self.counts: bool = self._count is not None and self._count.counts

    def read(self, batches: Sequence[Any]) -> None:
        """Count the samples of some batches."""
        if self._count is not None:
            self._count.read(batches)
            self.counts = self._count.counts

    def end_pass(self, batches: int) -> None:
        """End a pass of so many batches."""
        in_pass = None if self._count is None else self._count.end_pass()
        self.counts = False
        if size := self._task.batch_size:
            in_pass = batches * size
        if in_pass is not None:
            self._records.meta.setdefault("samples_in_epoch", in_pass * self._ranks)

    def note_few(self) -> None:
        """Note how many different samples were read where they are few, whatever a pass is."""
        task, count = self._task, self._count
        different = few_samples_of(task.read_from, FEW_SAMPLES)
        in_batch: float | None = task.batch_size
        if count is not None and count.different:
            in_batch = in_batch or count.in_batch
            if different is None and count.different < FEW_SAMPLES:
                different = count.different * self._ranks
        if different and in_batch:
            in_step = in_batch * task.accumulate * self._ranks
            self._records.meta.update(different_samples=different, samples_in_step=in_step)


def _noted_in(recorder: _RowRecorder, samples: _SampleCount) -> Callable[[int], None]:
    """Return a function to call with the number of batches at the end of each pass."""

    def note(batches: int) -> None:
        recorder.mark_epoch()
        samples.end_pass(batches)

    return note


def _reason_after_skips(lr: float, losses: list[torch.Tensor]) -> StopReason:
    """Return the stop reason after `MOST_SKIPS` skipped steps if a loss is not finite.

    Raises:
        RuntimeError: all losses are finite, so only the gradients overflow.
    """
    values = [float(loss) for loss in losses]
    if not all(map(math.isfinite, values)):
        return StopReason.NON_FINITE
    raise RuntimeError(
        f"the scaler has skipped {len(values)} steps in a row at the rate {rate_in_words(lr, 3)}, "
        f"halving its scale each time: the gradients are not finite at any scale, though the "
        f"losses are ({values[0]:.4g}, {values[1]:.4g}, ...); look for a square root, a logarithm "
        "or a division that is infinite in the backward pass, and for clipping before unscaling"
    )
