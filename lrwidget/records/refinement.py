"""The result of short trials after a sweep: the refined rate and the reason for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from lrwidget.curve.not_finite import same_end
from lrwidget.curve.search import MUCH_LONGER, Choice, choose, fallen
from lrwidget.records.jsonl import number_or_word
from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.records.trial_loss import mean_of_tail
from lrwidget.text.numbers import number_in_words, rate_in_words

# With a smaller fall of the held-out loss, as a share of the untrained one, trials are doubtful:
# they have hardly left the plateau, or the model learns its data by heart.
CONFIDENT_FALL = 0.3
FEW_SAMPLES = 100  # with fewer held-out samples, chance decides too much
REPEATED = (
    0.1  # as large a share of held-out samples that were trained on tells of learning by heart
)
# A shorter move towards the suggestion, in decades, is not told as a reason.
SMALL = 0.02


@dataclasses.dataclass(slots=True)
class Trial:
    """A short training at one rate.

    Attributes:
        lr: rate of the first param group.
        records: one row per step.
        held_out: the loss on the held-out data, by the number of steps before the measurement.
    """

    lr: float
    records: RecordsTable = dataclasses.field(default_factory=RecordsTable)
    held_out: dict[int, float] = dataclasses.field(default_factory=dict)

    @property
    def broke_off(self) -> bool:
        """Whether the trial diverged."""
        return self.records.stop_reason in (StopReason.NON_FINITE, StopReason.DIVERGED)

    @property
    def unmeasured(self) -> bool:
        """Whether it trained to its end, but its held-out loss was not a finite number."""
        ended = self.records.stop_reason is StopReason.NON_FINITE
        return ended and bool(np.isfinite(self.records.loss).all())


class Refinement:
    """The result of short trials, which grows while they run.

    Args:
        centre: the middle of the rates to try.
        suggested: the rate that the sweep's curve suggests, or None.
        sweep_steps: steps of the sweep.
        budget: upper limit of steps, including those of the sweep.
        planned_steps: steps of the planned training, or None.

    Attributes:
        trials: the trials in the order of their starts.
        length: steps of the trials that are compared.
        untrained: the held-out loss before the first step.
        held_out: describes the held-out data.
        held_out_samples: how many samples it has, where that is known.
        repeated: how many of how many held-out samples the trials trained on too, as far as seen.
        stop_reason: why the search ended, such as "finished"; None while it runs.
        kept_bytes: largest size of the kept trial states, in bytes.
        seed: the seed of the sweep, which the trials use too; not saved.
        swept_with: the class of the optimizer of the sweep, if it is known; not saved.
    """

    def __init__(
        self,
        centre: float,
        suggested: float | None = None,
        sweep_steps: int = 0,
        budget: int = 1500,
        planned_steps: int | None = None,
    ) -> None:
        self.centre = centre
        self.suggested = suggested
        self.sweep_steps = sweep_steps
        self.budget = budget
        self.planned_steps = planned_steps
        self.trials: list[Trial] = []
        self.length = 0
        self.untrained: float = math.nan
        self.held_out = ""
        self.held_out_samples: int | None = None
        self.repeated: Sequence[int] = (0, 0)
        self.stop_reason: StopReason | None = None
        self.kept_bytes = 0
        self.seed: int | None = None
        self.swept_with: str | None = None
        self.steps_again = 0  # of trials that were run again because their state was not kept

    @property
    def steps(self) -> int:
        """Optimizer steps so far, those of the sweep included."""
        own = sum(len(trial.records) for trial in self.trials)
        return self.sweep_steps + self.steps_again + own

    @property
    def lr(self) -> float | None:
        """The chosen rate; the curve's suggestion while fewer than two trials can be compared."""
        return self.suggested if self._compares_nothing else self._choice.lr

    @property
    def confidence(self) -> Literal["high", "low"]:
        """ "high" or "low".

        "high" if the best trial lies between worse ones, its held-out loss is below the untrained
        loss by at least 30%, and the planned training is less than thirty times as long as the
        trials or its length is unknown. Fewer than 100 held-out samples make it "low", and so do
        samples that were trained on too.
        """
        choice = self._choice
        if self._compares_nothing or choice.lr is None or not choice.learned:
            return "low"
        if choice.at_edge or choice.tied or self._judged_by_few or self._judged_by_trained:
            return "low"
        planned = self.planned_steps
        far = planned is not None and planned >= MUCH_LONGER * self.length
        return "low" if far or choice.fall < CONFIDENT_FALL else "high"

    @property
    def _judged_by_few(self) -> bool:
        return self.held_out_samples is not None and self.held_out_samples < FEW_SAMPLES

    @property
    def _judged_by_trained(self) -> bool:
        trained, held = self.repeated
        return trained > 0 and trained >= REPEATED * held

    @property
    def reason(self) -> str:
        """Explains the choice of the rate in plain words."""
        if self._compares_nothing:
            kept = "the suggestion of the sweep stays" if self.suggested else "there is no rate"
            ending = self._ending().removesuffix("after ")
            return f"{ending}before two rates could be compared: {kept}"
        longest = max(len(trial.records) for trial in self.trials)
        trials = f"{number_in_words(len(self.trials))} trial{'s' * (len(self.trials) != 1)}"
        steps = f"{longest} step{'s' * (longest != 1)}"
        parts = [f"{trials} of up to {steps}, {self.steps:,} in all"]
        parts[0] = self._ending() + parts[0]
        choice = self._choice
        if choice.lr is None and any(trial.unmeasured for trial in self.trials):
            nothing = (
                "the loss on the held-out data was no finite number, so that nothing can be "
                f"compared (before the first step it was {self.untrained:.3g}): give other data "
                "to judge by, held_out=..."
            )
            return "; ".join([*parts, nothing])
        if choice.lr is None:
            cause = same_end(trial.records.loss for trial in self.trials)
            cause = cause or "all of them diverged: lower rates are left to try"
            return "; ".join([*parts, cause])
        if not choice.learned:
            stays = "this is the suggestion of the sweep" if self.suggested else "this is a guess"
            left = f"none fell clearly below the untrained loss of {self.untrained:.3g}"
            return "; ".join([*parts, f"{left}: {stays}"])
        assert choice.best is not None
        parts.append(f"best at {rate_in_words(choice.best)}")
        if choice.at_edge:
            parts[-1] += ", at the edge of those tried"
        if choice.tied:
            parts[-1] += ", and no better than beside it"
        planned = self.planned_steps
        taken = f"taken to {rate_in_words(choice.lr)}"
        if rate_in_words(choice.lr) != rate_in_words(choice.best):
            parts.append(taken + self._why_moved(choice))
        if planned is not None and planned >= MUCH_LONGER * self.length:
            times = round(planned / self.length)
            parts.append(f"your training is {times} times as long as the trials: this says little")
        if self._judged_by_few:
            count = self.held_out_samples
            parts.append(f"judged by {count} sample{'s' * (count != 1)} only: this says little")
        if self._judged_by_trained:
            trained, held = self.repeated
            parts.append(
                f"{trained} of {held} held-out samples were also trained on, so that learning by "
                "heart looks good: the data repeats samples, or shares them with what judges; "
                "give val_data or held_out= with others"
            )
        return "; ".join(parts)

    def _why_moved(self, choice: Choice) -> str:
        """Return why the chosen rate is not that of the best trial."""
        assert choice.lr is not None
        assert choice.best is not None
        whys = []
        if choice.lr < choice.best and choice.lowered > 0:
            whys.append(
                "since trainings are longer than trials"
                if self.planned_steps is None
                else f"because you will train {self.planned_steps:,} steps"
            )
        if abs(choice.drawn) >= SMALL and (choice.drawn > 0) == (choice.lr > choice.best):
            assert self.suggested is not None
            whys.append(f"towards the suggestion of {rate_in_words(self.suggested)}")
        return " " + " and ".join(whys) if whys else ", between its neighbours"

    @property
    def frame(self) -> pd.DataFrame:
        """One row per step: lr, step (from 1), loss, held_out_loss (NaN where not measured).

        `loss` is measured on the batch before its step, `held_out_loss` after the step.
        """
        tables = []
        for trial in self.trials:
            loss = trial.records.loss
            measured = np.full(len(loss), np.nan)
            for step, value in list(trial.held_out.items()):
                if 0 < step <= len(loss):
                    measured[step - 1] = value
            numbers = np.arange(1, len(loss) + 1)
            table = {"lr": trial.lr, "step": numbers, "loss": loss, "held_out_loss": measured}
            tables.append(pd.DataFrame(table))
        if not tables:
            return pd.DataFrame(
                {name: pd.Series(dtype=float) for name in ("lr", "step", "loss", "held_out_loss")}
            )
        return pd.concat(tables, ignore_index=True)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per trial, by ascending rate: lr, steps, final_loss, held_out_loss, stop_reason.

        `final_loss` is the mean of the last fifth of the losses, `held_out_loss` the last
        measurement; both are NaN if the trial diverged.
        """
        trials = sorted(self.trials, key=lambda trial: trial.lr)
        return pd.DataFrame(
            {
                "lr": [trial.lr for trial in trials],
                "steps": [len(trial.records) for trial in trials],
                "final_loss": [_final_loss(trial) for trial in trials],
                "held_out_loss": [_last(trial) for trial in trials],
                "stop_reason": [
                    trial.records.stop_reason and trial.records.stop_reason.value
                    for trial in trials
                ],
            }
        )

    @property
    def best(self) -> float | None:
        """The rate with the lowest held-out loss among the compared trials; None without any."""
        return self._choice.best

    def as_json(self) -> dict[str, Any]:
        """Return the result as strict JSON values, which `from_json` reads."""
        return {
            "lr": self.lr,
            "confidence": self.confidence,
            "reason": self.reason,
            "steps": self.steps,
            **{name: getattr(self, name) for name in _PLAIN},
            "untrained": number_or_word(self.untrained),
            "stop_reason": None if self.stop_reason is None else self.stop_reason.value,
            "trials": [
                {
                    "lr": trial.lr,
                    "loss": [number_or_word(loss) for loss in trial.records.loss.tolist()],
                    "held_out": [[n, number_or_word(v)] for n, v in list(trial.held_out.items())],
                    "stop_reason": trial.records.stop_reason and trial.records.stop_reason.value,
                }
                for trial in list(self.trials)
            ],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """Return the result that `as_json` wrote."""
        made = cls(saved["centre"])
        for name in _PLAIN:
            setattr(made, name, saved.get(name, getattr(made, name)))  # older files have fewer
        made.untrained = float(saved["untrained"])
        made.stop_reason = _reason(saved["stop_reason"])
        for one in saved["trials"]:
            trial = Trial(one["lr"])
            for loss in one["loss"]:
                trial.records.append(trial.lr, float(loss))
            trial.held_out = {int(step): float(value) for step, value in one["held_out"]}
            trial.records.stop_reason = _reason(one["stop_reason"])
            made.trials.append(trial)
        return made

    @property
    def _compared(self) -> dict[float, float]:
        """The held-out losses of the compared trials, by rate; infinite if a trial diverged."""
        found = {}
        for trial in sorted(self.trials, key=lambda trial: trial.lr):
            if trial.broke_off:
                found[trial.lr] = math.inf
            elif self.length in trial.held_out:
                found[trial.lr] = trial.held_out[self.length]
        return found

    @property
    def _compares_nothing(self) -> bool:
        return len(self._compared) < 2

    @property
    def _choice(self) -> Choice:
        return choose(
            self._compared,
            self.centre if self.suggested is None else self.suggested,
            self.untrained,
            max(self.length, 1),
            self.planned_steps,
            suggested=self.suggested,
            trained=trained_share(self.trials, self.length),
        )

    def _ending(self) -> str:
        if self.stop_reason is None or self.stop_reason is StopReason.FINISHED:
            return ""
        return f"{self.stop_reason.value} after "

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return picture, text and table for a notebook; see `lrwidget.records.display`."""
        from lrwidget.records.display import show_refinement

        return show_refinement(self, include, exclude)

    def __repr__(self) -> str:
        rate = "None" if self.lr is None else rate_in_words(self.lr)
        return f"Refinement(lr {rate}, {self.confidence} confidence: {self.reason})"


def trained_share(trials: Collection[Trial], length: int) -> float:
    """Return the share by which the training loss fell in the trial where it fell most.

    Before is the mean of the first tenth of the steps at the lowest rate, where it has not been
    thrown up; after, that of the last fifth. Trials that diverged or have fewer steps do not count.
    """
    losses = [
        trial.records.loss[:length]
        for trial in sorted(trials, key=lambda trial: trial.lr)
        if not trial.broke_off and len(trial.records) >= length > 0
    ]
    if not losses:
        return 0.0
    before = float(losses[0][: max(1, length // 10)].mean())
    return max(fallen(before, mean_of_tail(loss)) for loss in losses)


_PLAIN = (
    "centre",
    "suggested",
    "sweep_steps",
    "budget",
    "planned_steps",
    "length",
    "held_out",
    "kept_bytes",
    "steps_again",
    "held_out_samples",
    "repeated",
)


def _reason(value: str | None) -> StopReason | None:
    return None if value is None else StopReason(value)


def _final_loss(trial: Trial) -> float:
    loss = trial.records.loss
    return math.nan if trial.broke_off or not len(loss) else mean_of_tail(loss)


def _last(trial: Trial) -> float:
    if trial.broke_off or not trial.held_out:
        return math.nan
    return trial.held_out[max(trial.held_out)]
