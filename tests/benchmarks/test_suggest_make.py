"""How the benchmark of suggestions makes tasks: many replicas train at once, each as if alone."""

import json
import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.suggest.__main__ import SETS
from benchmarks.suggest.make import recipes
from benchmarks.suggest.make.__main__ import (
    LEAST_GAIN,
    baseline,
    main,
    make,
    save,
)
from benchmarks.suggest.make.fresh import FRESH
from benchmarks.suggest.make.sets import RECIPES_OF
from benchmarks.suggest.make.small import SMALL
from benchmarks.suggest.make.train import Recipe, Replicas, response, sweeps, untrained
from benchmarks.suggest.make.unseen import UNSEEN
from benchmarks.suggest.recorded import LENGTHS, load_tasks

pytestmark = pytest.mark.slow

DATA = (torch.randn(40, 3, generator=torch.Generator().manual_seed(0)),)
DATA = (*DATA, DATA[0].sum(1, keepdim=True))

TORCH = {
    "sgd": (torch.optim.SGD, {}),
    "sgdm": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {}),
}


def recipe(**changes):
    base = Recipe(
        name="made",
        family="made",
        data=lambda: (DATA, tuple(c[:10] for c in DATA)),
        model=lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)),
        loss=recipes.squares,
        optimizer="sgd",
        batch=8,
        steps=30,
    )
    return replace(base, **changes)


@pytest.mark.parametrize("optimizer", TORCH)
def test_every_replica_trains_as_it_would_alone(optimizer):
    rates = [0.001, 0.01]
    made = recipe(optimizer=optimizer, decay=0.1)
    replicas = Replicas(made, [0, 1], len(rates))
    together = torch.stack([replicas.step(torch.tensor(rates * 2)) for _ in range(20)], 1)
    kind, options = TORCH[optimizer]
    for seed in (0, 1):
        for i, lr in enumerate(rates):
            batches = Replicas(made, [seed], 1)
            torch.manual_seed(1000 + seed)
            model = made.model()
            alone = kind(model.parameters(), lr=lr, weight_decay=0.1, **options)
            for step in range(20):
                x, y = (column[0] for column in batches.batches())
                loss = made.loss(model, x, y)
                alone.zero_grad()
                loss.backward()
                alone.step()
                assert together[2 * seed + i, step].item() == pytest.approx(loss.item(), rel=1e-3)


def test_what_is_returned():
    made = recipe()
    learned = response(made, [1e-5, 0.1, 1e9], [0, 1])
    fresh = untrained(made, [0, 1])
    assert [len(row) for row in learned] == [2, 2, 2]
    assert max(learned[1]) < 0.5 * fresh
    assert sum(learned[0]) / 2 == pytest.approx(fresh, rel=0.01)
    assert not torch.tensor(learned[2]).isfinite().any()
    assert [len(row) for row in sweeps(made, [0.1, 1e20, 1e20, 0.1], [5])] == [2]


def test_a_made_task_is_one_that_the_benchmark_reads(tmp_path, monkeypatch):
    task = make(recipe())
    save([task], tmp_path / "varied.json")
    monkeypatch.setattr("benchmarks.suggest.recorded.__file__", str(tmp_path / "recorded.py"))
    (read,) = load_tasks("varied")
    assert read.name == read.family == "made"
    assert [len(read.sweeps[n]) for n in LENGTHS] == [3, 3]
    assert 0 <= read.regret(0.03) < 0.2
    assert read.regret(10.0) > 0.9
    assert json.loads((tmp_path / "varied.json").read_text())[0]["val_loss"][-1][0] is None


def test_every_recipe_has_its_task():
    tasks = load_tasks("varied")
    assert sorted(task.name for task in tasks) == sorted(made.name for made in recipes.RECIPES)


def test_one_of_the_unseen_recipes_gains_too_little():
    tasks = load_tasks("unseen")
    left_out = {made.name for made in UNSEEN} - {task.name for task in tasks}
    assert left_out == {"chirps_rnn_sgdm_b32"}
    assert len(tasks) == len(UNSEEN) - 1
    assert min(task.gain for task in tasks) >= LEAST_GAIN


def test_two_of_the_small_recipes_gain_too_little():
    made = {task.name for task in load_tasks("small")}
    left_out = {made.name for made in SMALL} - made
    assert left_out == {"few_classes30_sgdm_b32", "few_linear_adam_b16"}
    assert len(made) == len(SMALL) - 2
    assert all(len(recipe.data()[0][0]) < 500 for recipe in SMALL)


def test_one_of_the_fresh_recipes_gains_too_little_and_none_is_one_of_the_others():
    left_out = {made.name for made in FRESH} - {task.name for task in load_tasks("fresh")}
    assert left_out == {"hastie_saturated_nesterov_b32"}
    others = {made.name for kind, every in RECIPES_OF.items() if kind != "fresh" for made in every}
    assert not others & {made.name for made in FRESH}


def test_no_unseen_recipe_is_one_of_the_others():
    others = {task.name for name in (*SETS, "small") for task in load_tasks(name)}
    assert not others & {made.name for made in UNSEEN}


def test_a_task_that_gains_too_little_is_left_out(tmp_path, monkeypatch, capsys):
    good, bad = (
        recipe(name="good"),
        recipe(name="bad", loss=lambda model, x, _y: 0 * model(x).sum() + 1),
    )
    monkeypatch.setitem(RECIPES_OF, "unseen", [good, bad])
    monkeypatch.setattr(sys, "argv", ["make", str(tmp_path / "unseen.json"), "--unseen"])
    main()
    assert [task["name"] for task in json.loads((tmp_path / "unseen.json").read_text())] == ["good"]
    assert "left out" in capsys.readouterr().out


def test_a_class_that_is_in_the_held_data_alone_has_a_baseline():
    train, held = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 2])
    made = recipe(data=lambda: ((train, train), (held, held)), loss=recipes.classify)
    assert baseline(made) == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


@pytest.mark.parametrize("name", ["iris_tanh_adagrad_b16", "diabetes_linear4_sgd_b32"])
def test_the_first_steps_of_an_unseen_task_are_made_again(name):
    (task,) = (task for task in load_tasks("unseen") if task.name == name)
    (made,) = (made for made in UNSEEN if made.name == name)
    again = sweeps(made, [1e-7] * 5, [200, 201, 202])
    for row, kept in zip(again, task.sweeps[100], strict=True):
        assert row == pytest.approx(kept[:5].tolist(), rel=2e-3)


def test_the_first_steps_of_a_task_are_made_again():
    tasks = {task.name: task for task in load_tasks("varied")}
    for name in ("plain_wine_adam_b16", "factors_small_sgdm_b64", "linear_digits_sgd_b32"):
        made = next(r for r in recipes.RECIPES if r.name == name)
        again = sweeps(made, [1e-7] * 5, [200, 201, 202])
        for row, kept in zip(again, tasks[name].sweeps[100], strict=True):
            assert row == pytest.approx(kept[:5].tolist(), rel=2e-3)
