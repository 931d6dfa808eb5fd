"""Refines a suggested rate: runs short trials around it and compares losses on held-out data.

`lrwidget.curve.search` decides which rates to try and which to choose. All trials train the same
objects within one preparation of the task. Each starts from the same state, which is restored
before it; a trial that is continued later starts from its own last state.
"""

import math
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext, suppress
from typing import Any

from lrwidget.curve.search import (
    BUDGET,
    Job,
    Search,
    centre_of,
    first_length,
    longest_trial,
)
from lrwidget.data.named_samples import refuse_bad_share, share_of
from lrwidget.engine.check import refuse_if_read_once
from lrwidget.engine.equal_trials import refuse_equal
from lrwidget.engine.meta import class_of
from lrwidget.engine.sweep import seed_of_rank, sweep
from lrwidget.engine.trial_trainer import (
    StoppedElsewhere,
    TrialTrainer,
    does_all_itself,
    trial_trainer,
)
from lrwidget.process_group.team import Team
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.records.table import StopReason
from lrwidget.restore.model_lock import exclusive
from lrwidget.restore.snapshot import prepared
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a_kind
from lrwidget.validation import whole_number


def refine(
    task: TrainingTask,
    records: LRRecords | None = None,
    budget: int = BUDGET,
    planned_steps: int | None = None,
    held_out: Any = None,
) -> Refinement:
    """Refine a task as `lrwidget.refine` does, whose documentation describes the arguments."""
    if records is not None and not isinstance(records, LRRecords):
        raise TypeError(
            f"records is {a_kind(records)}; expected LRRecords, as lr_find() returns and "
            "LRRecords.load(path) reads them, or None to sweep first"
        )
    budget = whole_number("budget", budget, 1)
    options = SweepOptions()
    validate_refinement(task, planned_steps, held_out)
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


def validate_refinement(task: TrainingTask, planned_steps: int | None, held_out: Any) -> None:
    """Refuse a task or arguments that `refining` cannot use, before a sweep is run.

    Raises:
        TypeError, ValueError: an argument is invalid, or the task cannot be refined.
    """
    if planned_steps is not None:
        whole_number("planned_steps", planned_steps, 1)
    refuse_if_read_once(task)
    refuse_bad_share(held_out, task.samples_named)
    if task.reads_itself and task.evaluate is None:
        raise does_all_itself(task)


def refinement_of(records: LRRecords, budget: int, planned_steps: int | None) -> Refinement:
    """Return an empty result, centred on the rate that the records suggest."""
    suggested = records.suggestion.lr
    if planned_steps is not None:
        planned_steps = whole_number("planned_steps", planned_steps, 1)
    result = Refinement(centre_of(suggested), suggested, len(records), budget, planned_steps)
    result.seed = records.meta.get("seed")
    result.swept_with = records.meta.get("optimizer_class")
    return result


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
    search = search_of(result)
    reason = StopReason.FAILED
    try:
        alone = nullcontext() if locked else exclusive(task)
        with (
            alone,
            Team.assembled(task, _common(result, held_out)) as team,
            task.session(),
            prepared(task, _seed(task, result)) as parts,
            trial_trainer(task, parts, team) as trainer,
            trainer.evaluating_on(held_out, result),
        ):
            reason = yield from _go_through(search, trainer, result)
    except (GeneratorExit, KeyboardInterrupt):
        reason = StopReason.STOPPED
        raise
    finally:
        result.stop_reason = reason
    return reason


def _seed(task: TrainingTask, result: Refinement) -> int | None:
    """Return the seed of the sweep, so that the trials are as reproducible.

    Raises:
        ValueError: the sweep was one with another optimizer.
    """
    own = class_of(task.optimizer)
    if result.swept_with not in (None, own):
        raise ValueError(
            f"the records are of a sweep with {result.swept_with}, and the task trains with {own}, "
            "whose rates are others; give records of a sweep of this task, or none to sweep first"
        )
    return None if result.seed is None else seed_of_rank(result.seed)


def search_of(result: Refinement) -> Search:
    """Return the search that fills an empty result.

    Raises:
        ValueError: the budget is too small for three short trials.
    """
    left = result.budget - result.sweep_steps
    first, longest = first_length(result.budget, left), longest_trial(result.planned_steps)
    search = Search(result.centre, left, first, longest)
    result.length = search.length
    return search


def trial_of(job: Job, trials: dict[int, Trial], result: Refinement) -> Trial:
    """Return the trial that a job begins or goes on with, by the place of its rate in `trials`."""
    if job.begin == 0:
        # A rate that was tried before starts anew if its state was not kept.
        old = trials.pop(job.place, None)
        trial = trials[job.place] = Trial(job.lr)
        if old is not None:
            result.steps_again += len(old.records)
            trial.held_out.update(old.held_out)
            result.trials.remove(old)
        result.trials.append(trial)
    return trials[job.place]


def refuse_unused_rate(result: Refinement, score: float) -> None:
    """Refuse to go on where trials at all rates are the same.

    Raises:
        RuntimeError: they are, and the last one, with this held-out loss, has changed the model.
            Where none did, the search may still find a rate that does.
    """
    if score != result.untrained:
        refuse_equal([(trial.lr, trial.records) for trial in result.trials])


def cannot_be_judged(result: Refinement) -> bool:
    """Return whether the held-out data gives NaN whatever is trained, so that no rate is to blame.

    It did before the first step, and after each trial at the three rates that are tried first.
    """
    trials = result.trials
    return math.isnan(result.untrained) and len(trials) > 2 and all(t.unmeasured for t in trials)


def _common(result: Refinement, held_out: Any) -> dict[str, Any]:
    """Return what must be equal on all ranks, so that they try the same rates, and that none trains
    on samples by which another judges."""
    names = ("centre", "suggested", "sweep_steps", "budget", "planned_steps")
    # Indices and data are those of each rank's own share of the data.
    asked = held_out if held_out is None else share_of(held_out) or "data or indices"
    return {**{name: getattr(result, name) for name in names}, "held_out": asked}


def _go_through(
    search: Search, trainer: TrialTrainer, result: Refinement
) -> Generator[None, None, StopReason]:
    trials: dict[int, Trial] = {}
    jobs = search.jobs()
    job = next(jobs)
    while True:
        trial = trial_of(job, trials, result)
        try:
            score = yield from trainer.run(job, trial)
        except StoppedElsewhere:
            return StopReason.STOPPED
        if math.isfinite(score):
            trial.held_out[job.end] = score
        refuse_unused_rate(result, score)
        if cannot_be_judged(result):
            return StopReason.FINISHED
        search.left = result.budget - result.sweep_steps  # the budget may have been raised
        try:
            following = jobs.send((score, len(trial.records) - job.begin))
        except StopIteration:
            result.length = search.length
            return StopReason.FINISHED
        result.length = search.length
        trainer.keep(job.place, search.wanted)
        result.kept_bytes = max(result.kept_bytes, trainer.nbytes)
        job = following
