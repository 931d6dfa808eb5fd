"""An iterator of the user's that ends within a sweep."""

from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRFinderWidget, LRRecords, TrainingTask, check_lrs, lr_find, refine

# Which is warned of: tests/restore/test_warned_of.py.
pytestmark = pytest.mark.filterwarnings("ignore:step or loss reads on in")

x, y = torch.randn(64, 3), torch.arange(64) % 2
DATA = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 64, 8)]
ce = nn.CrossEntropyLoss()


class Reads(nn.Module):
    """A model that reads an iterator of its own, of five items."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.more = iter(list(range(5)))

    def forward(self, values: Any) -> Any:
        next(self.more)
        return self.layer(values)


def own_step(*, whole: bool = False, accumulate: int = 1) -> TrainingTask:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    unlabelled = iter(DATA[:5])

    def step(batch: Any) -> Any:
        extra, _ = next(unlabelled)
        loss = ce(model(batch[0]), batch[1]) + 0 * model(extra).sum()
        if whole:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss

    evaluate = own_loss(model) if whole else None
    return TrainingTask(
        model, optimizer, data=DATA, step=step, evaluate=evaluate, accumulate=accumulate
    )


def reading_loss() -> Any:
    weights = iter([1.0] * 5)
    return lambda output, target: next(weights) * ce(output, target)


def with_loss(loss_fn: Any) -> TrainingTask:
    return TrainingTask(nn.Linear(3, 2), torch.optim.SGD, loss_fn, DATA)


def of_model(**options: Any) -> TrainingTask:
    return TrainingTask(Reads(), torch.optim.SGD, ce, DATA, **options)


def triplets() -> TrainingTask:
    data = [(x[:8], x[8:16], x[16:24])] * 8
    return TrainingTask(Reads(), torch.optim.SGD, nn.TripletMarginLoss(), data)


TASKS: dict[str, Any] = {
    "step": (own_step, "own_step.<locals>.step (test_ended_iterator.py, line"),
    "whole step": (lambda: own_step(whole=True), "own_step.<locals>.step ("),
    "accumulated": (lambda: own_step(accumulate=2), "own_step.<locals>.step ("),
    "model": (of_model, "Reads.forward (test_ended_iterator.py, line"),
    "accumulated model": (lambda: of_model(accumulate=2), "Reads.forward ("),
    "loss": (lambda: with_loss(reading_loss()), "reading_loss.<locals>.<lambda> ("),
    "triplets": (triplets, "Reads.forward ("),
}


@pytest.mark.parametrize("name", TASKS)
def test_it_is_named_with_the_function_that_reads_it(name: str) -> None:
    make, words = TASKS[name]
    with pytest.raises(RuntimeError) as caught:
        lr_find(make(), progress=False)
    assert str(caught.value).startswith(words)
    assert "raised StopIteration: an iterator that it reads with next() has ended" in (
        str(caught.value)
    )
    assert isinstance(caught.value.__cause__, StopIteration)
    assert caught.value.records.stop_reason == "failed"  # type: ignore[attr-defined]


def test_also_where_a_model_makes_its_own_loss_and_in_checks_and_trials() -> None:
    class OwnLoss(Reads):
        def forward(self, values: Any, target: Any) -> Any:  # type: ignore[override]
            return ce(super().forward(values), target)

    with pytest.raises(RuntimeError, match=r"Reads.forward \(.*raised StopIteration"):
        lr_find(OwnLoss(), torch.optim.SGD, None, DATA, progress=False)
    with pytest.raises(RuntimeError, match=r"Reads.forward \(.*raised StopIteration"):
        check_lrs(of_model(), [0.1, 0.2], steps=20)
    records = lr_find(nn.Linear(3, 2), torch.optim.SGD, ce, DATA, progress=False)
    with pytest.raises(RuntimeError, match=r"Reads.forward \(.*raised StopIteration"):
        refine(of_model(), records, budget=300)


def evaluated() -> TrainingTask:
    task = own_step(whole=True)
    loss = task.step = own_loss(task.model)
    seen = iter(range(2))
    task.evaluate = lambda batch: (next(seen), loss(batch))[1]
    return task


def own_loss(model: nn.Module) -> Any:
    return lambda batch: ce(model(batch[0]), batch[1])


def measured() -> TrainingTask:
    seen = iter(range(5))
    return of_linear(val_data=DATA, metric=lambda output, target: next(seen))


def of_linear(**options: Any) -> TrainingTask:
    return TrainingTask(nn.Linear(3, 2), torch.optim.SGD, ce, DATA, **options)


class Warming(torch.optim.SGD):
    """An optimizer that reads its warm-up from an iterator."""

    warmup = iter(range(3))

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        next(self.warmup)
        super().step()


def warming() -> TrainingTask:
    Warming.warmup = iter(range(3))
    return TrainingTask(nn.Linear(3, 2), Warming, ce, DATA)


IN_TRIALS: dict[str, Any] = {
    "step": (own_step, "own_step.<locals>.step ("),
    "whole step": (lambda: own_step(whole=True), "own_step.<locals>.step ("),
    "evaluate": (evaluated, "evaluated.<locals>.<lambda> ("),
    "metric": (measured, "measured.<locals>.<lambda> ("),
    "optimizer": (warming, "Warming.step ("),
}


@pytest.mark.parametrize("name", IN_TRIALS)
def test_checks_and_trials_name_it_too(name: str) -> None:
    make, words = IN_TRIALS[name]
    calls = [lambda: refine(make(), LRRecords(), budget=300, held_out=DATA)]
    if name != "evaluate":  # which a check without validation data does not call
        calls.append(lambda: check_lrs(make(), [0.1, 0.2], steps=20))
    for call in calls:
        with pytest.raises(RuntimeError, match="raised StopIteration: an iterator") as caught:
            call()
        assert str(caught.value).startswith(words)
        assert isinstance(caught.value.__cause__, StopIteration)


def test_the_widget_shows_it() -> None:
    w = LRFinderWidget(own_step())
    w.start()
    with pytest.raises(RuntimeError, match="raised StopIteration: an iterator"):
        w.wait(60)
    assert "step (test_ended_iterator.py" in (w.error or "")
    w.close()


def own_words() -> None:
    try:
        next(iter(()))
    except StopIteration as error:
        raise RuntimeError("the shards are used up") from error


def generator_without_cause() -> None:
    raise RuntimeError("generator raised StopIteration")


@pytest.mark.parametrize("raises", [own_words, generator_without_cause])
def test_an_error_that_says_more_or_has_no_such_cause_keeps_its_words(raises: Any) -> None:
    with pytest.raises(RuntimeError) as expected:
        raises()
    task = own_step()
    task.step = lambda _: raises()
    with pytest.raises(RuntimeError) as caught:
        lr_find(task, progress=False)
    assert str(caught.value) == str(expected.value)
