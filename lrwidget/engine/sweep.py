"""The range test: raise the learning rate every step, record the loss met at it.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2015), section 3.3.
"""

import math
from collections.abc import Generator, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrwidget.backup.objects import ObjectState
from lrwidget.backup.rng import unmoved
from lrwidget.curve.few_samples import FEW_SAMPLES
from lrwidget.curve.stop_rule import DivergenceRule
from lrwidget.data.batches import BatchSource, Exhausted
from lrwidget.data.by_index import chosen, of_indices, pool_of
from lrwidget.data.distinct import RowCount, few_samples_of
from lrwidget.data.equal_samples import Watch
from lrwidget.data.given_batches import GivenBatches
from lrwidget.data.passed_over import in_fixed_order, keeper
from lrwidget.engine.first_step import beginning
from lrwidget.engine.ladder import Ladder
from lrwidget.engine.meta import meta_of, plain
from lrwidget.engine.rate_watch import RateWatch
from lrwidget.engine.readback import GroupedReader, ImmediateReader, Reading, reader_for
from lrwidget.process_group.processes import process_rank
from lrwidget.process_group.team import Team
from lrwidget.records.records import LRRecords
from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.restore.captured import not_swept
from lrwidget.restore.model_lock import exclusive
from lrwidget.restore.snapshot import SweepTarget, prepared, where_it_ran
from lrwidget.task.ended_iterator import ended_iterator
from lrwidget.task.optimizers import finds_its_own_rate, uses_rate_once
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask

# A scaler that starts at 65536 halves its scale at each skip; after this many skips the gradients
# are not finite at any scale.
MOST_SKIPS = 32


def sweep(
    task: TrainingTask,
    options: SweepOptions,
    records: LRRecords,
    ladder: Ladder | None = None,
    *,
    locked: bool = False,
) -> Generator[None, None, StopReason]:
    """Run the range test, one optimizer step for each `next`; rows go to `records`.

    However the sweep ends - at the last rate, by divergence, by `close`, by an exception - the
    task's own objects and the random generators are restored bit for bit, and
    `records.stop_reason`, which is also returned, says how it ended.

    Args:
        task: the task to sweep.
        options: the range, its density, and when to end.
        records: an empty table; gets the rows and their meta.
        ladder: the rates of these options, which other threads may extend; by default a new one.
        locked: the caller holds the `ModelLock` of the task.

    Raises:
        RuntimeError: the model is being swept already.
        Exception: any exception of the task.
    """
    reason = StopReason.FAILED
    ladder = Ladder(options) if ladder is None else ladder
    try:
        alone = nullcontext() if locked else exclusive(task)
        with alone, Team.assembled(task, _common(options)) as team:
            in_place = ""
            for repeat in range(options.repeats):
                records.begin_sweep()
                seed = _seed(options, repeat)
                with task.session(), prepared(task, seed, in_place=in_place) as parts:
                    records.meta.update(meta_of(task, ladder.options), **where_it_ran(parts))
                    notes = {
                        "not_swept": not_swept(task),
                        "own_rate": finds_its_own_rate(task.optimizer),
                        "rate_unused": uses_rate_once(task.optimizer),
                    }
                    records.meta.update({name: note for name, note in notes.items() if note})
                    try:
                        reason = yield from train_at(
                            task,
                            parts,
                            ladder.climb(),
                            records,
                            stop_at_divergence=options.stop_at_divergence,
                            team=team,
                            val_data=task.val_data,
                        )
                    finally:  # some data has a batch size only after it was read
                        records.meta["batch_size"] = task.batch_size
                if reason in (StopReason.EXHAUSTED, StopReason.STOPPED):
                    break
                in_place = parts.why
    except (GeneratorExit, KeyboardInterrupt):
        reason = StopReason.STOPPED
        raise
    except BaseException:
        reason = StopReason.FAILED
        raise
    finally:
        ladder.close()
        if "options" in records.meta:
            records.meta["options"] = plain(ladder.options)
        records.stop_reason = reason
    return reason


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
    step = beginning(task, parts, team, records)
    reader = reader_for(task.device if team is None else torch.device("cpu"))
    recorder = _RowRecorder(records, stop_at_divergence)
    ranks = 1 if team is None else team.size
    count = RowCount(FEW_SAMPLES, task.data) if not task.reads_itself else None

    def begin_epoch(batches_before: int) -> None:
        recorder.mark_epoch()
        in_pass = None if count is None else count.end_pass()
        if size := task.batch_size:
            in_pass = batches_before * size
        if in_pass is not None:
            records.meta.setdefault("samples_in_epoch", in_pass * ranks)

    source = BatchSource(task.data, on_epoch=begin_epoch)
    keep = keeper(task.data)
    given = GivenBatches(task.data)
    use = RateWatch(parts, own_step=task.step is not None)
    try:
        step.open()
        held_out = _held_out(val_data, task.val_batches)
        for number, lr in enumerate(rates):
            # Before validating, reading and stepping, in which ranks may wait for each other.
            if team is not None and (stop := team.exchange()):
                return StopReason(stop)
            extra = None
            if held_out and (number % task.val_every == 0 or number == last):
                extra = step.evaluate(held_out)
            # Not in the first step, which may be repeated on another model.
            measured = number > 0 and lr >= use.next_rate
            if measured:
                use.begin(lr)
            skipped: list[torch.Tensor] = []
            while True:
                batches = [keep(next(source)) for _ in range(task.accumulate - 1)]
                batches.append(next(source))
                if team is not None and (stop := team.exchange()):
                    return StopReason(stop)
                if count is not None and count.counts:
                    count.read(batches)
                if watch is not None:
                    watch.read(batches)
                if given.looks:
                    given.before(batches)
                # Set before each call: a custom step that accumulates may contain a scheduler.
                step.set_rate(lr)
                try:
                    loss = step(batches)
                except StopIteration as error:  # of an optimizer or a hook
                    raise ended_iterator(error, "the optimizer or a hook") from error
                if given.looks:
                    given.after()
                if loss is not None:
                    break
                if step.skipped is None:
                    continue
                recorder.mark_skip(lr)
                skipped.append(step.skipped)
                if len(skipped) == MOST_SKIPS:
                    return recorder.add(reader.flush()) or _reason_after_skips(lr, skipped)
            if measured:
                use.end()
            if team is not None:
                loss, extra = team.mean(loss, extra)
            reason = recorder.add(reader.push(lr, loss, extra))
            if reason is not None:
                return reason
            recorder.step += 1
            yield
        if team is not None and (stop := team.exchange()):
            return StopReason(stop)
        return recorder.add(reader.flush()) or StopReason.FINISHED
    except Exhausted:
        if team is not None:
            team.exchange(stop=StopReason.EXHAUSTED)
        return recorder.add(reader.flush()) or StopReason.EXHAUSTED
    except GeneratorExit:
        if team is not None:
            team.exchange(stop=StopReason.STOPPED)
        _flush_readings(recorder, reader)
        raise
    except BaseException as error:
        if team is not None:
            team.tell(error)
        _flush_readings(recorder, reader)
        raise
    finally:
        step.close()
        source.close()
        given.put_back()
        use.close(records)
        recorder.drop_later_epochs()
        if watch is None:
            _note_few_samples(task, records, count, ranks)


class _RowRecorder:
    """Appends rows to the records until one of them ends the sweep; drops the rows after it."""

    def __init__(self, records: RecordsTable, stop_at_divergence: bool) -> None:
        self.step = len(records)
        self._records = records
        self._rule = DivergenceRule() if stop_at_divergence else None

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


def _note_few_samples(
    task: TrainingTask, records: RecordsTable, count: RowCount | None, ranks: int
) -> None:
    """Note how many different samples were read where they are few, whatever a pass is."""
    different = few_samples_of(task.read_from, FEW_SAMPLES)
    in_batch: float | None = task.batch_size
    if count is not None and count.different:
        in_batch = in_batch or count.in_batch
        if different is None and count.different < FEW_SAMPLES:
            different = count.different * ranks
    if different and in_batch:
        in_step = in_batch * task.accumulate * ranks
        records.meta.update(different_samples=different, samples_in_step=in_step)


def _reason_after_skips(lr: float, losses: list[torch.Tensor]) -> StopReason:
    """Return the stop reason after `MOST_SKIPS` skipped steps if a loss is not finite.

    Raises:
        RuntimeError: all losses are finite, so only the gradients overflow.
    """
    values = [float(loss) for loss in losses]
    if not all(map(math.isfinite, values)):
        return StopReason.NON_FINITE
    raise RuntimeError(
        f"the scaler has skipped {len(values)} steps in a row at the rate {lr:.3g}, halving its "
        f"scale each time: the gradients are not finite at any scale, though the losses are "
        f"({values[0]:.4g}, {values[1]:.4g}, ...); look for a square root, a logarithm or a "
        "division that is infinite in the backward pass, and for clipping before unscaling"
    )


def _flush_readings(recorder: _RowRecorder, reader: ImmediateReader | GroupedReader) -> None:
    try:
        recorder.add(reader.flush())
    except RuntimeError:
        # The device has failed and its losses are lost; the first error is the one to raise.
        return


def _held_out(val_data: Any, count: int) -> list[Any]:
    """Return `count` batches of the validation data, which are read once.

    They are the first ones of a loader in an order of its own; of one that reads its data from the
    first to the last sample, which may be sorted, they are samples from everywhere.
    """
    if val_data is None:
        return []
    if type(val_data) is DataLoader and in_fixed_order(val_data):
        pool, size = pool_of(val_data), val_data.batch_size
        if pool is not None and size is not None and len(pool) > count * size:
            val_data = of_indices(val_data, chosen(pool, count * size))
    # What is drawn to read them is no draw of the training, which may read the same data set.
    state = ObjectState([val_data], as_data=True)
    try:
        with unmoved():
            return _first(val_data, count)
    finally:
        state.restore()
        state.close()


def _first(val_data: Any, count: int) -> list[Any]:
    source = BatchSource(val_data, on_epoch=lambda _: None)
    keep = keeper(val_data)
    batches: list[Any] = []
    try:
        while len(batches) < count:
            batches.append(keep(next(source)))
    except Exhausted:
        pass
    finally:
        source.close()
    return batches


def _seed(options: SweepOptions, repeat: int) -> int | None:
    """Return the seed of a repeat; None continues from the present state of the generators."""
    if options.seed is not None:
        return seed_of_rank(options.seed + repeat)
    return None if repeat == 0 else torch.initial_seed() % 2**32 + repeat


def seed_of_rank(seed: int) -> int:
    """Return the seed of this process: with the same one, all ranks would draw the same batches."""
    return seed + 100_003 * process_rank()


def _common(options: SweepOptions) -> dict[str, Any]:
    """Return the options that must be equal on all ranks: all but the seed."""
    return {name: value for name, value in plain(options).items() if name != "seed"}
