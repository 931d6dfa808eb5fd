"""`refine`: the rates it tries, the rate it chooses, and the state it restores."""

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Sampler, Subset, SubsetRandomSampler

from lrwidget import LRFinderWidget, LRRecords, TrainingTask, lr_find, refine
from lrwidget.adapters.base import FrameworkTask, StepData
from lrwidget.curve.search import Search, centre_of, choose, first_length, lowered_by
from lrwidget.engine.refine import validate_refinement
from lrwidget.records.refinement import Refinement
from tests.tasks import blobs, problem

Losses = Any


def gone_through(loss: Losses, budget: int = 1400, length: int = 100) -> tuple[Search, list[Any]]:
    """Run the search with `loss(place, steps)` in place of training."""
    search = Search(1e-3, budget, length)
    jobs, done, kept = search.jobs(), [], dict[int, int]()
    answer: Any = None
    while True:
        try:
            job = jobs.send(answer)
        except StopIteration:
            return search, done
        assert job.begin == 0 or kept[job.place] == job.begin
        answer = (loss(job.place, job.end), job.end - job.begin)
        done.append(job)
        kept[job.place] = job.end
        assert len([place for place in kept if place in search.wanted]) <= 3


def test_it_walks_to_the_best_and_lengthens_around_it() -> None:
    search, done = gone_through(lambda place, _: (place - 2) ** 2)
    assert [(job.place, job.end) for job in done] == [
        *((place, 100) for place in (0, -1, 1, 2, 3)),
        *((place, 200) for place in (2, 1, 3)),
        *((place, 300) for place in (2, 1, 3)),
    ]
    assert (search.best(), search.length, search.spent) == (2, 300, 1100)


def test_where_all_diverge_it_goes_lower() -> None:
    search, done = gone_through(lambda place, _: math.inf if place > -3 else 1.0 + (place + 3) ** 2)
    assert [job.place for job in done][:5] == [0, -1, 1, -2, -3]
    assert search.best() == -3


@pytest.mark.parametrize("left", [180, 300, 399, 500, 777, 1200, 1400, 5000])
@pytest.mark.parametrize("shift", [-9, -2, 0, 1, 9])
def test_it_never_spends_more_than_there_is(left: int, shift: int) -> None:
    length = first_length(left + 100, left)
    # Longer trials prefer lower rates, so the walk has to begin again.
    search, done = gone_through(lambda p, n: (p - shift + n / 100) ** 2, left, length)
    assert search.spent == sum(job.end - job.begin for job in done) <= left
    assert all(abs(job.place) <= 6 for job in done)


def test_the_choice_is_between_neighbours_and_lower_for_a_longer_training() -> None:
    scores = {1e-3: 1.0, 1e-3 * 10**0.5: 0.5, 1e-2: 0.8}
    unknown, same, longer, long = (
        choose(scores, 1e-3, 2.0, 300, t) for t in (None, 300, 3000, 10**7)
    )
    assert same.lr is not None
    assert 10**-2.5 < same.lr < 10**-2.25
    assert unknown.lr == pytest.approx(same.lr * 10**-0.15)
    assert longer.lr == pytest.approx(same.lr * 10**-0.4)
    assert long.lr == pytest.approx(same.lr * 10**-0.6)
    assert lowered_by(300, 100) == 0
    # A loss above the untrained loss counts as the untrained loss.
    wild = choose({**scores, 1e-2: 1e5}, 1e-3, 1.0, 300, 300)
    assert wild.lr == choose({**scores, 1e-2: math.inf}, 1e-3, 1.0, 300, 300).lr
    assert choose({1e-3: math.inf}, 1e-3, 1.0, 100, None).lr is None


def test_where_nothing_fell_the_suggestion_stays() -> None:
    choice = choose({1e-4: 1.1, 1e-3: 1.2, 1e-2: math.inf}, 2e-3, 1.0, 300, 10_000)
    assert (choice.lr, choice.learned) == (2e-3, False)
    assert centre_of(2e-3) == pytest.approx(10**-2.75)
    assert centre_of(None) == 0.1


@pytest.fixture(scope="module")
def refined() -> tuple[TrainingTask, LRRecords, Refinement]:
    task = TrainingTask(*problem())
    torch.manual_seed(0)
    records = lr_find(task, progress=False)
    return task, records, refine(task, records, 900, planned_steps=2000)


def test_it_tells_the_rate_and_how_it_came_to_it(refined: Any) -> None:
    _, records, result = refined
    assert result.stop_reason == "finished"
    assert 1e-3 < result.lr < 0.3
    assert result.steps == len(records) + len(result.frame) <= 900
    assert result.held_out == "85 of 256 samples, chosen at random"
    assert "because you will train 2,000 steps" in result.reason
    assert f"{result.steps:,} in all" in result.reason
    frame = result.frame
    assert list(frame.columns) == ["lr", "step", "loss", "held_out_loss"]
    measured = frame.dropna().groupby("lr").step.apply(list)
    assert all(steps in ([100], [100, 200]) for steps in measured)
    assert result.summary.held_out_loss.min() < result.untrained / 2
    assert result.lr < result.best


def test_the_planned_steps_lower_the_rate_and_a_long_training_lowers_the_confidence(
    refined: Any,
) -> None:
    task, records, _ = refined
    rates = []
    for planned in (200, 2000, 100_000):
        torch.manual_seed(0)
        result = refine(task, records, 900, planned_steps=planned)
        rates.append(result.lr)
    assert rates[0] > rates[1] > rates[2]
    assert result.confidence == "low"
    assert "500 times as long as the trials: this says little" in result.reason


def test_the_records_keep_it(refined: Any, tmp_path: Any) -> None:
    _, records, _ = refined
    json.dumps(records.meta, allow_nan=False)
    records.save(tmp_path / "sweep.jsonl")
    kept = LRRecords.load(tmp_path / "sweep.jsonl").refinement
    assert kept is not None
    assert repr(kept) == repr(records.refinement)
    assert kept.frame.equals(records.refinement.frame)
    assert kept.summary.equals(records.refinement.summary)
    assert "Learning rate" in kept._repr_mimebundle_()["text/plain"]


def test_lr_find_does_both(tmp_path: Any) -> None:
    records = lr_find(
        *problem(),
        refine=True,
        planned_steps=500,
        steps=40,
        progress=False,
        log=tmp_path / "log.jsonl",
    )
    assert records.refinement is not None
    assert records.refinement.steps <= 1500
    assert records.refinement.planned_steps == 500
    assert records.refinement.lr == LRRecords.load(tmp_path / "log.jsonl").refinement.lr  # type: ignore[union-attr]
    with pytest.raises(TypeError, match="planned_steps is for refine=True"):
        lr_find(*problem(), planned_steps=5)


@pytest.mark.parametrize("snapshot", ["auto", "device", "cpu", "disk"])
def test_a_trial_that_goes_on_is_as_one_that_was_never_broken_off(snapshot: Any) -> None:
    # Batches come in order and no layer draws, so that both runs are the same.
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    made = torch.optim.Adam(model.parameters(), 0.01, amsgrad=True)
    loader = DataLoader(blobs(), 32)
    task = TrainingTask(
        model, made, nn.CrossEntropyLoss(), loader, val_data=loader, snapshot=snapshot
    )
    result = refine(task, LRRecords(), 750)
    trial = max(result.trials, key=lambda one: len(one.records))
    assert len(trial.records) == 200
    for group in made.param_groups:
        group["lr"] = trial.lr
    losses, measured = [], {}
    for number, (x, y) in enumerate(itertools.islice(itertools.cycle(loader), 200), start=1):
        made.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        made.step()
        losses.append(loss.item())
        if number in (100, 200):
            model.eval()
            with torch.no_grad():
                whole = [nn.functional.cross_entropy(model(x), y).item() for x, y in loader]
            measured[number] = pytest.approx(sum(whole) / len(whole), rel=1e-6)
            model.train()
    assert trial.records.loss.tolist() == losses
    assert trial.held_out == measured


def test_a_trial_that_goes_on_draws_as_one_that_was_never_broken_off() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 4))
    made = torch.optim.Adam(model.parameters(), 0.01)
    loader = DataLoader(blobs(), 32)
    task = TrainingTask(model, made, nn.CrossEntropyLoss(), loader, val_data=list(loader))
    result = refine(task, LRRecords(), 750)
    trial = max(result.trials, key=lambda one: len(one.records))
    assert len(trial.records) == 200  # the first 100 end in the middle of a pass
    made.param_groups[0]["lr"] = trial.lr
    losses: list[float] = []
    while len(losses) < 200:
        for x, y in loader:
            made.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            made.step()
            losses.append(loss.item())
    assert trial.records.loss.tolist() == losses


def test_all_trials_draw_the_same_and_twice_comes_to_the_same() -> None:
    task = TrainingTask(*problem(), snapshot="device")
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        results.append(refine(task, LRRecords(), 400))
    assert results[0].as_json() == results[1].as_json()
    assert len({trial.records.loss[0] for trial in results[0].trials}) == 1


def test_a_step_that_computes_the_loss_measures_too() -> None:
    model, optimizer, loss_fn, loader = problem()
    modes = []

    def step(batch: Any) -> torch.Tensor:
        modes.append((model.training, torch.is_grad_enabled()))
        return loss_fn(model(batch[0]), batch[1])

    with_step = TrainingTask(model, optimizer, data=loader, step=step)
    results = []
    for task in (with_step, TrainingTask(model, optimizer, loss_fn, loader, snapshot="device")):
        torch.manual_seed(0)
        results.append(refine(task, LRRecords(), 400).as_json())
    assert results[0] == results[1]
    assert set(modes) == {(True, True), (False, False)}


def test_a_step_that_does_all_needs_evaluate() -> None:
    model, optimizer, loss_fn, loader = problem()

    def step(batch: Any) -> float:
        optimizer.zero_grad()
        loss = loss_fn(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match="evaluate"):
        refine(TrainingTask(model, optimizer, data=loader, step=step), LRRecords(), 400)
    assert all(map(torch.equal, before, model.parameters()))
    task = TrainingTask(
        model, optimizer, data=loader, step=step, evaluate=lambda b: loss_fn(model(b[0]), b[1])
    )
    result = refine(task, LRRecords(), 400)
    assert result.summary.held_out_loss.min() < result.untrained
    assert all(map(torch.equal, before, model.parameters()))


def test_what_cannot_be_refined_is_refused_before_anything_is_run() -> None:
    model, optimizer, loss_fn, loader = problem()
    task = TrainingTask(model, optimizer, loss_fn, loader)
    with pytest.raises(ValueError, match=r"budget is 200, .* at least 280"):
        refine(task, budget=200)
    with pytest.raises(ValueError, match="planned_steps is 0"):
        refine(task, planned_steps=0)
    with pytest.raises(ValueError, match="held_out"):
        lr_find(task, refine=True, held_out=2.0)
    with pytest.raises(ValueError, match="read only once"):
        refine(TrainingTask(model, optimizer, loss_fn, iter(loader)))


BATCHES = list(problem()[3])
SAMPLES = blobs(40)


@pytest.mark.parametrize(
    ("data", "held_out", "match"),
    [
        (SAMPLES, [3, 40], r"index 40, .* some of its 40"),
        (list(SAMPLES), [-1], "index -1"),
        (DataLoader(SAMPLES, 8, shuffle=True), [True] * 39, "mask of 39"),
        (DataLoader(SAMPLES, 8), range(40), "40 of 40 samples"),
        (DataLoader(SAMPLES, 8, sampler=SubsetRandomSampler(range(9))), [9], "some of its 9"),
        (DataLoader(Subset(SAMPLES, range(9)), 4), [9], "some of its 9"),
        (BATCHES, [8], r"batch 8, .* 8 batches"),
        (BATCHES, [-1], "counted from 0"),
        (BATCHES, range(8), "8 batches, of which none"),
    ],
)
def test_indices_that_there_are_not_are_refused_before_the_sweep(
    data: Any, held_out: Any, match: str
) -> None:
    model, optimizer, loss_fn, _ = problem()
    with pytest.raises(ValueError, match=match) as refused:
        lr_find(model, optimizer, loss_fn, data, refine=True, held_out=held_out, progress=False)
    assert not hasattr(refused.value, "records")  # the rows of a sweep
    widget = LRFinderWidget(model, optimizer, loss_fn, data, steps=20)
    widget.start()
    widget.wait()
    with pytest.raises(ValueError, match=match):
        widget.refine(held_out=held_out)
    assert widget.state != "failed"
    widget.close()


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return itertools.cycle(SAMPLES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(SAMPLES, 8, sampler=SubsetRandomSampler(torch.arange(20))),  # type: ignore[arg-type]
        DataLoader(SAMPLES, 8, sampler=SubsetRandomSampler(list(torch.arange(20)))),  # type: ignore[arg-type]
        DataLoader(Endless(), 8),
    ],
)
def test_indices_are_found_whatever_kind_of_number_the_sampler_has(data: Any) -> None:
    model, optimizer, loss_fn, _ = problem()
    validate_refinement(TrainingTask(model, optimizer, loss_fn, data), None, [3, 4])


class OddSampler(Sampler[str]):
    """Gives keys, and tells nobody which."""

    begun = 0

    def __iter__(self) -> Iterator[str]:
        OddSampler.begun += 1
        return iter("abcdefghij")

    def __len__(self) -> int:
        return 10


def test_a_sampler_of_the_users_own_is_not_read_before_the_sweep() -> None:
    model, optimizer, loss_fn, _ = problem()
    samples = dict(zip("abcdefghij", SAMPLES, strict=False))
    task = TrainingTask(model, optimizer, loss_fn, DataLoader(samples, 2, sampler=OddSampler()))
    validate_refinement(task, None, [3, 40])
    assert not OddSampler.begun


def test_a_framework_whose_step_tells_no_loss_is_refused_in_words() -> None:
    model, optimizer, _, loader = problem()
    data = StepData(loader, lambda: iter(()))
    theirs = FrameworkTask(model, optimizer, data, lambda _: torch.zeros(()))
    with pytest.raises(ValueError, match="describe it as a TrainingTask"):
        refine(theirs, LRRecords())
