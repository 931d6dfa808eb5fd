"""A Trainer's step sees the planned training: its steps and epochs, and a scheduler."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lrwidget import lr_find
from tests.adapters.test_held_out import INPUTS, OTHERS, Dicts, judged, short_trials, trainer

__all__ = ["short_trials"]


def reading(one: Any, seen: list[Any]) -> Any:
    """Return the Trainer with a step that notes what it reads."""

    class Reading(type(one)):  # type: ignore[misc]
        def compute_loss(self, *args: Any, **options: Any) -> Any:
            state = self.state
            seen.append((state.global_step, state.max_steps, state.num_train_epochs, state.epoch))
            return super().compute_loss(*args, **options)

        def training_step(self, *args: Any, **options: Any) -> Any:
            seen.append(self.lr_scheduler.get_last_lr())
            return super().training_step(*args, **options)

    one.__class__ = Reading
    return one


@pytest.mark.parametrize("most", [7, -1])
def test_a_step_reads_what_it_reads_in_training(most: int, folder: Path) -> None:
    def planned(seen: list[Any]) -> Any:
        one = reading(trainer(folder), seen)
        one.args.max_steps, one.args.warmup_steps = most, 2
        return one

    seen: list[Any] = []
    planned(seen).train()
    own: list[Any] = []
    one = planned(own)
    before = vars(one.state).copy()
    lr_find(one, steps=5, progress=False)
    states = [item for item in seen if isinstance(item, tuple)]
    assert [item for item in own if isinstance(item, tuple)][:5] == states[:5]
    assert own[0] == seen[0]  # the rates before the first step
    assert vars(one.state) == before
    assert one.lr_scheduler is None
    one.train()  # and after a training
    own.clear()
    lr_find(one, steps=5, progress=False)
    assert [item for item in own if isinstance(item, tuple)][:5] == states[:5]


def test_a_scheduler_that_a_step_moves_changes_neither_rates_nor_trials(folder: Path) -> None:
    one = trainer(folder, eval_dataset=Dicts(OTHERS))
    plain = lr_find(one, steps=8, progress=False)
    two = trainer(folder, eval_dataset=Dicts(OTHERS))
    optimizer = torch.optim.AdamW(two.model.parameters(), 5e-5, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)
    before = schedule.state_dict()
    seen: list[float] = []

    class Moving(type(one)):  # type: ignore[misc]
        def training_step(self, *args: Any, **options: Any) -> Any:
            seen.append(self.lr_scheduler.get_last_lr()[0])
            self.lr_scheduler.step()
            return super().training_step(*args, **options)

    two.optimizer, two.lr_scheduler = optimizer, schedule
    two.__class__ = Moving
    records = lr_find(two, steps=8, progress=False)
    assert list(records.lr) == list(plain.lr)
    assert seen[:3] == pytest.approx([5e-5, 5e-6, 5e-7])
    seen.clear()
    judged(two)
    assert seen.count(5e-5) >= 2  # each trial begins alike
    assert schedule.state_dict() == before
    assert [group["lr"] for group in optimizer.param_groups] == [5e-5]


def test_data_of_unknown_length_has_the_steps_of_the_arguments(folder: Path) -> None:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter([Dicts(INPUTS)[i] for i in range(32)])

    seen: list[Any] = []
    one = trainer(folder)
    one.train_dataset, one.args.max_steps = Stream(), 9
    lr_find(reading(one, seen), steps=5, progress=False)
    assert {item[1] for item in seen if isinstance(item, tuple)} == {9}
