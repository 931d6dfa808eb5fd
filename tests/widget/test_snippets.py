"""Tests that run the page's snippets and check their optimizers and rates.

`tests/vectors/snippets.json` holds the snippets that the page writes from the kernel's optimizer
code. js/test/export/snippets.test.ts checks the snippets; these tests check the optimizer code.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget.engine.optimizer_code import optimizer_code
from tests.engine.test_optimizer_code import meta

VECTORS = Path(__file__).parents[1] / "vectors" / "snippets.json"
CASES = json.loads(VECTORS.read_text())["cases"]
KNOWN = [case for case in CASES if case["recipe"]]
RANGES = [case for case in CASES if case["range"]]
# The snippets round to three digits.
DIGITS = {"rel": 5e-3}


def settings_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return the swept optimizer's arguments, with tuples for the lists of JSON."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in case["settings"].items()}


def name_of(case: dict[str, Any]) -> str:
    """Return the id of a case in a test's name."""
    recipe = case["recipe"] or {"name": "unknown", "arguments": ""}
    return f"{recipe['name']}({recipe['arguments']})-{case['range'] and 'range'}"


class Training:
    """A model with the optimizer and the scheduler that the snippets make."""

    def __init__(self, case: dict[str, Any]) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        make = getattr(torch.optim, case["optimizer"])
        self.swept = make(self.model.parameters(), lr=1e-6, **settings_of(case))
        self.scope = {"torch": torch, "model": self.model, "optimizer": self.swept}
        exec(case["snippets"]["optimizer"], self.scope)
        self.rates: list[float] = []
        self.momenta: list[Any] = []

    @property
    def group(self) -> dict[str, Any]:
        """The first param group of the optimizer that trains."""
        group: dict[str, Any] = self.scope["optimizer"].param_groups[0]
        return group

    def schedule(self, code: str, steps: int) -> None:
        """Train this many steps with a snippet's scheduler and keep the rates and momenta."""
        exec(code, self.scope)
        optimizer, scheduler = self.scope["optimizer"], self.scope["scheduler"]
        for step in range(steps):
            self.rates.append(self.group["lr"])
            self.momenta.append(self.group.get("momentum", self.group.get("betas")))
            optimizer.zero_grad()
            self.model(torch.ones(4, 3)).square().mean().backward()
            optimizer.step()
            if step < steps - 1:
                scheduler.step()


@pytest.mark.parametrize("case", KNOWN, ids=name_of)
def test_the_kernel_makes_the_recipe_that_the_page_writes_from(case: dict[str, Any]) -> None:
    found = optimizer_code(meta(getattr(torch.optim, case["optimizer"]), **settings_of(case)))
    assert found == case["recipe"]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_the_optimizer_is_the_swept_one_at_the_chosen_rate(case: dict[str, Any]) -> None:
    training = Training(case)
    assert training.group["lr"] == pytest.approx(case["lr"], **DIGITS)
    made = training.scope["optimizer"]
    assert type(made) is type(training.swept)
    wanted = training.swept.param_groups[0] | {"lr": training.group["lr"]}
    assert {k: v for k, v in training.group.items() if k != "params"} == {
        k: v for k, v in wanted.items() if k != "params"
    }
    assert (made is training.swept) == (case["recipe"] is None)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_one_cycle_climbs_to_the_rate_and_ends_far_below(case: dict[str, Any]) -> None:
    training = Training(case)
    low, high = case["range"] or (case["lr"] / 25, case["lr"])
    training.schedule(case["snippets"]["OneCycleLR"], 1000)
    rates = training.rates
    assert rates[0] == pytest.approx(low, **DIGITS)
    assert max(rates) == pytest.approx(high, **DIGITS)
    assert rates.index(max(rates)) == pytest.approx(300, abs=2)
    assert rates[-1] == pytest.approx(rates[0] / 1e4, **DIGITS)
    # The scheduler changes the momentum only if the optimizer has one.
    key = (case["recipe"] or {}).get("momentum")
    firsts = [m[0] if isinstance(m, tuple) else m for m in training.momenta]
    if key is None:
        assert len(set(firsts)) == 1
    else:
        assert (min(firsts), max(firsts)) == (pytest.approx(0.85, abs=1e-3), pytest.approx(0.95))


@pytest.mark.parametrize("case", RANGES, ids=name_of)
def test_cyclic_goes_from_the_lower_end_to_the_upper_and_back(case: dict[str, Any]) -> None:
    training = Training(case)
    before = training.group.get("momentum", training.group.get("betas"))
    training.schedule(case["snippets"]["CyclicLR"], 401)
    rates, (low, high) = training.rates, case["range"]
    assert rates[0] == pytest.approx(low, **DIGITS)
    assert rates[200] == max(rates) == pytest.approx(high, **DIGITS)
    assert rates[400] == pytest.approx(low, **DIGITS)
    if (case["recipe"] or {}).get("momentum") == "momentum":
        assert training.momenta[0] == pytest.approx(0.9)
        assert training.momenta[200] == min(training.momenta) == pytest.approx(0.8)
    else:
        assert set(training.momenta) == {before}
