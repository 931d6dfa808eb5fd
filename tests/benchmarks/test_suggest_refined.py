"""The benchmark of trials after the sweep, and what the README says of it."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.suggest import refined
from benchmarks.suggest.make import recipes
from benchmarks.suggest.make.long import LONG, SCHEDULES, long_response, rates
from benchmarks.suggest.make.sets import RECIPES_OF
from benchmarks.suggest.make.task import task_of
from benchmarks.suggest.make.train import Recipe, Replicas, response
from benchmarks.suggest.make.trials import all_trials, lengths_of, tried
from benchmarks.suggest.recorded import load_tasks
from lrwidget import LRRecords, refine
from lrwidget.curve.search import Search, choose, first_length, longest_trial
from tests.benchmarks.test_suggest import made_task

pytestmark = pytest.mark.slow

PLANNED = {made.name: made.steps for kind in refined.SEEDS for made in RECIPES_OF[kind]}
X = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
DATA = (X, (X * X).sum(1, keepdim=True))


def recipe(**changes):
    base = Recipe(
        name="made",
        family="made",
        data=lambda: (DATA, tuple(c[:50] for c in DATA)),
        model=lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)),
        loss=recipes.squares,
        optimizer="sgd",
        batch=30,
        steps=200,
    )
    return replace(base, **changes)


@pytest.mark.parametrize("optimizer", ["nadam", "lion", "adamax", "rmspropm", "sgdm"])
def test_the_task_trains_as_the_replicas_of_the_truth(optimizer):
    made = recipe(optimizer=optimizer, decay=0.1)
    replicas = Replicas(made, [7], 1)
    task = task_of(made, 7)
    for group in task.optimizer.param_groups:
        group["lr"] = 0.003
    for _ in range(10):
        batch = [column[0] for column in Replicas(made, [7], 1).batches()]
        replicas.batches = lambda batch=batch: [column[None] for column in batch]
        expected = replicas.step(torch.tensor([0.003]))
        loss = task.step(batch)
        task.optimizer.zero_grad()
        loss.backward()
        task.optimizer.step()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


# Of little data with equal rows, of pairs, of sequences, of more than can be held out.
REMADE = [
    ("unseen", "iris_tanh_adagrad_b16"),
    ("fresh", "lifetimes_adam_b64"),
    ("small", "few_board_adam_b32"),
    ("varied", "pairs_digits_adam_b32"),
    pytest.param(
        *("varied", "recurrent_text_rnn_adam_b16"),
        marks=pytest.mark.skipif(
            sys.version_info[:2] != (3, 11), reason="its text comes with Python 3.11"
        ),
    ),
]


@pytest.mark.parametrize(("kind", "name"), REMADE)
def test_what_is_recorded_is_what_todays_engine_holds_out_and_measures(kind, name):
    made = next(made for made in RECIPES_OF[kind] if made.name == name)
    rows = {(row["name"], row["seed"]): row for row in refined.load("refined")}
    recorded = rows[name, 200]["refined"]["1500"]
    result = refine(task_of(made, 200), LRRecords(), 200, planned_steps=made.steps)
    assert result.held_out == recorded["held_out"]
    assert result.untrained == pytest.approx(recorded["untrained"], rel=1e-4)


@pytest.mark.parametrize("name", ["codes_nesterov_b32", "parity_adam_b32", "tags_adamw_b32"])
def test_what_is_recorded_of_long_trainings_is_what_todays_engine_measures(name):
    made = next(made for made in LONG if made.name == name)
    rows = {(row["name"], row["seed"]): row for row in refined.load("long_trials")}
    recorded = rows[name, 200]
    result = refine(task_of(made, 200), LRRecords(), 200, planned_steps=made.steps)
    assert result.untrained == pytest.approx(recorded["untrained"], rel=1e-4)


def as_json(row):
    return json.loads(json.dumps(row))


def test_a_task_is_tried_by_the_engine_and_gone_through_again():
    row = as_json(tried(recipe(), 3))
    assert row["check"] in [pytest.approx(by * row["suggested"], rel=1e-3) for by in (1 / 3, 1, 3)]
    for budget in refined.BUDGETS:
        assert_the_same(row, budget, 200)
    assert row["refined"]["1500"]["length"] == 200  # all of the planned training
    assert max(ran for _, ran, _ in row["refined"]["1500"]["trials"]) == 200


def assert_the_same(row, budget, planned):
    """What was recorded is what today's search and choice make of the recorded trials."""
    one = row["refined"][str(budget)]
    trials = refined.by_place(one)
    first = row["refined"][str(refined.BUDGETS[0])]
    swept = first["steps"] - sum(ran for _, ran, _ in first["trials"])
    assert 50 < swept <= refined.SWEEP  # it ends early where the loss explodes
    left = budget - swept
    search = Search(one["centre"], left, first_length(budget, left), longest_trial(planned))
    refined.replay(search, trials)
    assert (search.length, search.spent) == (one["length"], one["steps"] - swept)
    assert set(search.scores) == set(trials)
    at = {search.lr(place): loss for place, loss in search.at(search.length).items()}
    for told, lr in ((planned, one["lr"]), (None, one["unplanned"])):
        choice = choose(
            at,
            row["suggested"] or one["centre"],
            one["untrained"],
            search.length,
            told,
            suggested=row["suggested"],
            trained=one["trained"],
        )
        expected = row["suggested"] if choice.lr is None else choice.lr
        assert lr == pytest.approx(expected, rel=1e-3)


def test_every_recorded_result_is_that_of_todays_search():
    rows = refined.load("refined")
    for row in rows:
        for budget in refined.BUDGETS:
            assert_the_same(row, budget, PLANNED[row["name"]])
    for kind, seeds in refined.SEEDS.items():
        expected = {(task.name, seed) for task in load_tasks(kind) for seed in seeds}
        assert expected <= {(row["name"], row["seed"]) for row in rows}


def test_what_is_missing_is_run_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(refined, "HERE", tmp_path)
    made = [(lambda one, seed: {"name": one.name, "seed": seed}, recipe(), seed) for seed in (1, 0)]
    monkeypatch.setattr(refined, "_runs", lambda *_: iter(made))
    refined.run_missing("refined")
    assert capsys.readouterr().out.count("trains made") == 2
    refined.run_missing("refined")
    assert capsys.readouterr().out == ""
    assert [row["seed"] for row in refined.load("refined")] == [0, 1]


def test_the_scores_by_hand():
    task = made_task()
    row = {
        "name": "made",
        "seed": 0,
        "suggested": 1e-2,
        "confidence": "high",
        "check": 1e-1,
        "refined": {
            str(budget): {"lr": lr, "unplanned": 1e-3, "confidence": "low", "steps": budget - 10}
            for budget, lr in zip(refined.BUDGETS, (1e-3, 10**-1.5, 1e-2), strict=True)
        },
    }
    found = refined.ways([task], [row, row | {"name": "another"}])
    means = {title: refined.score(every).mean for title, every in found.items()}
    assert [round(mean, 3) for mean in means.values()] == [0, 0.333, 1, 1, 0.167, 1, 0, 1]
    assert refined.good_already(found["refine, budget 1000"]) == (1, 0, pytest.approx(1 / 6))
    assert refined.failing(found["refine, budget 600"], high=False) == (1, 1)
    assert refined.failing(found["refine, budget 600"], high=True) == (0, 0)
    assert [one.steps for one in found["refine, budget 1500"]] == [1490]


def test_a_decaying_rate_ends_at_zero_and_a_cycle_begins_low():
    shares = [i / 100 for i in range(100)]
    curves = {name: [schedule(x) for x in shares] for name, schedule in SCHEDULES.items()}
    assert set(curves["constant"]) == {1.0}
    for name in ("cosine", "one-cycle"):
        assert max(curves[name]) == pytest.approx(1)
        assert curves[name][-1] < 1e-3
    assert curves["cosine"][0] == 1
    assert curves["one-cycle"][0] == pytest.approx(1 / 25)
    # torch's own, without momentum
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=1001, cycle_momentum=False
    )
    for i in range(1000):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(
            SCHEDULES["one-cycle"](i / 1000), abs=4e-3
        )
        optimizer.step()
        torchs.step()


def test_a_long_training_at_a_constant_rate_is_a_training():
    made = recipe(steps=20)
    table = long_response(made)
    assert set(table) == set(SCHEDULES)
    for row, again in zip(table["constant"], response(made, rates(made), [0, 1]), strict=True):
        assert row == pytest.approx(again, rel=1e-3, nan_ok=True)
    assert table["cosine"] != table["constant"]


def test_everything_is_tried_and_gone_through():
    made = recipe(steps=3000)
    row = as_json(all_trials(made, 1))
    trials = refined.by_place(row)
    assert lengths_of(3000) == [30, 50, 100, 200, 300]
    assert set(range(-3, 3)) <= set(trials)
    _, values = trials[-3]
    assert [int(n) for n in values] == lengths_of(3000)
    for loss, before, after in values.values():
        assert min(loss, before, after) > 0
    search = Search(row["centre"], 1400, 100)
    lr, _ = refined.long_run(row, 3000, search)
    assert search.length == 300
    assert lr is not None
    assert lr > 0


FIGURES = {
    "suggestion alone": [(0.212, 1.00, 0.20), (0.211, 1.00, 0.20), (0.218, 1.00, 0.20)],
    "refine, T/n = 100": [(0.109, 0.13, 0.10), (0.112, 0.16, 0.10), (0.118, 0.19, 0.10)],
    "refine, T/n = 30": [(0.105, 0.13, 0.10), (0.098, 0.18, 0.10), (0.101, 0.20, 0.05)],
    "refine, T/n = 10": [(0.062, 0.07, 0.05), (0.041, 0.09, 0.00), (0.048, 0.11, 0.00)],
    "refine, budget 1500": [(0.100, 0.14, 0.10), (0.092, 0.19, 0.05), (0.094, 0.21, 0.05)],
}


def test_what_the_readme_says_of_long_trainings():
    tasks = {task.name: task for task in load_tasks("long")}
    assert len(tasks) == len(LONG) * len(SCHEDULES) == 30
    found = refined.long_ways(tasks, refined.load("long_trials"))
    for title, parts in FIGURES.items():
        for schedule, (mean, p90, failures) in zip(SCHEDULES, parts, strict=True):
            one = refined.score(found[title][schedule])
            assert one.mean == pytest.approx(mean, abs=6e-4)
            assert one.p90 == pytest.approx(p90, abs=6e-3)
            assert one.failures == pytest.approx(failures, abs=6e-3)
    assert len(found["suggestion alone"]["cosine"]) == 2 * len(LONG)


REFINED = {
    "varied": {
        "suggestion alone": (0.136, 0.42, 0.09, (0, 19)),
        "check: 3 rates, 100 steps each": (0.146, 0.60, 0.12, (0, 19)),
        "refine, budget 600": (0.059, 0.20, 0.02, (0, 97)),
        "  its planned steps not told, 600": (0.058, 0.16, 0.02, (0, 97)),
        "refine, budget 1000": (0.060, 0.20, 0.02, (0, 84)),
        "  its planned steps not told, 1000": (0.059, 0.15, 0.02, (0, 84)),
        "refine, budget 1500": (0.053, 0.15, 0.01, (0, 96)),
        "  its planned steps not told, 1500": (0.056, 0.18, 0.02, (0, 96)),
    },
    "small": {
        "suggestion alone": (0.480, 1.00, 0.47, (0, 2)),
        "check: 3 rates, 100 steps each": (0.533, 1.00, 0.53, (0, 2)),
        "refine, budget 600": (0.294, 0.88, 0.29, (0, 2)),
        "  its planned steps not told, 600": (0.325, 1.00, 0.29, (0, 2)),
        "refine, budget 1000": (0.244, 0.87, 0.21, (0, 2)),
        "  its planned steps not told, 1000": (0.239, 0.85, 0.18, (0, 2)),
        "refine, budget 1500": (0.200, 0.59, 0.16, (0, 2)),
        "  its planned steps not told, 1500": (0.190, 0.59, 0.13, (0, 2)),
    },
    "unseen": {
        "suggestion alone": (0.226, 0.74, 0.19, (0, 8)),
        "check: 3 rates, 100 steps each": (0.212, 0.74, 0.18, (0, 8)),
        "refine, budget 600": (0.160, 0.58, 0.13, (0, 43)),
        "  its planned steps not told, 600": (0.166, 0.60, 0.13, (0, 43)),
        "refine, budget 1000": (0.124, 0.37, 0.08, (0, 39)),
        "  its planned steps not told, 1000": (0.123, 0.28, 0.08, (0, 39)),
        "refine, budget 1500": (0.113, 0.29, 0.08, (0, 38)),
        "  its planned steps not told, 1500": (0.106, 0.26, 0.08, (0, 38)),
    },
    "fresh": {
        "suggestion alone": (0.145, 0.35, 0.09, (0, 20)),
        "check: 3 rates, 100 steps each": (0.137, 0.59, 0.12, (0, 20)),
        "refine, budget 600": (0.085, 0.17, 0.05, (2, 56)),
        "  its planned steps not told, 600": (0.090, 0.19, 0.05, (2, 56)),
        "refine, budget 1000": (0.072, 0.10, 0.05, (1, 53)),
        "  its planned steps not told, 1000": (0.070, 0.10, 0.05, (1, 53)),
        "refine, budget 1500": (0.082, 0.14, 0.07, (2, 54)),
        "  its planned steps not told, 1500": (0.079, 0.16, 0.05, (1, 54)),
    },
}


# The mean regret after `refine` where the suggestion was good already.
GOOD_AFTER = {
    "varied": (0.010, 0.011, 0.008),
    "small": (0.049, 0.102, 0.010),
    "unseen": (0.049, 0.050, 0.049),
    "fresh": (0.012, 0.011, 0.013),
}


def test_what_the_readme_says_of_trials_after_the_sweep():
    found = {kind: refined.ways(load_tasks(kind), refined.load("refined")) for kind in REFINED}
    for kind, figures in REFINED.items():
        for title, (mean, p90, failures, high) in figures.items():
            one = refined.score(found[kind][title])
            assert one.mean == pytest.approx(mean, abs=6e-4)
            assert one.p90 == pytest.approx(p90, abs=6e-3)
            assert one.failures == pytest.approx(failures, abs=6e-3)
            assert refined.failing(found[kind][title], high=True) == high
        # A good suggestion takes no harm, but where a few dozen samples judge.
        for budget, told in zip(refined.BUDGETS, GOOD_AFTER[kind], strict=True):
            judged = found[kind][f"refine, budget {budget}"]
            _, before, after = refined.good_already(judged)
            assert after == pytest.approx(told, abs=6e-4)
            if kind in ("varied", "fresh"):
                assert after <= before + 0.005
            elif kind == "unseen":
                others = [one for one in judged if one.task.name != "iris_tanh_adagrad_b16"]
                _, before, after = refined.good_already(others)
                assert after <= before + 0.005
