"""A curve that falls and rises where the rate cannot be why is doubted."""

from collections.abc import Callable

import numpy as np
import pytest

from lrwidget.curve.suggest import suggest

LR = np.geomspace(1e-7, 10, 100)
STEPS = np.arange(100)
WORDS = "shuffle the data"


def saw(period: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: 2.3 * np.exp(-(STEPS % period) / (period / 3)) + 0.02 * rng.normal(size=100)


def waves(rng: np.random.Generator) -> np.ndarray:
    waves = 0.5 * np.sin(STEPS * 2 * np.pi / 20 + rng.uniform(0, 6))
    return 1 + waves + 0.05 * rng.normal(size=100)


def correlated(rng: np.random.Generator) -> np.ndarray:
    found, value = [], 0.0
    for step in rng.normal(size=100):
        value = 0.9 * value + step
        found.append(value)
    return np.array(found)


@pytest.mark.parametrize("make", [saw(25), saw(33), saw(50), waves, correlated])
def test_a_curve_without_learning_is_rarely_called_high(
    make: Callable[[np.random.Generator], np.ndarray],
) -> None:
    rng = np.random.default_rng(0)
    found = [suggest(LR, make(rng)) for _ in range(60)]
    high = [one for one in found if one.lr is not None and one.confidence == "high"]
    assert len(high) <= 6
    assert any(WORDS in one.reason for one in found)


@pytest.mark.parametrize("after", [1.0, 30.0])
def test_a_fall_and_an_explosion_are_not_doubted(after: float) -> None:
    decades = np.log10(LR)
    fall = 2.3 / (1 + np.exp(3 * (decades + 3))) + 0.1
    loss = fall + after * np.maximum(0, decades) * 2.3
    for seed in range(20):
        noisy = loss + 0.05 * np.random.default_rng(seed).normal(size=100)
        suggestion = suggest(LR, noisy)
        assert suggestion.confidence == "high", suggestion.reason
        assert WORDS not in suggestion.reason


def test_the_rate_is_not_changed_by_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = saw(25)(np.random.default_rng(1))
    doubted = suggest(LR, loss)
    monkeypatch.setattr("lrwidget.curve.suggest.falls_again_doubt", lambda *_: None)
    assert suggest(LR, loss).lr == doubted.lr
