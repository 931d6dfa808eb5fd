"""Random actions in a real page: see tests/browser/play."""

from __future__ import annotations

import secrets

import pytest

from tests.browser.harness.lab import Lab
from tests.browser.play.player import Player

ACTIONS = 100


@pytest.mark.parametrize("game", ["known", pytest.param("fresh", marks=pytest.mark.full)])
def test_whatever_is_played_the_promises_hold(lab: Lab, game: str) -> None:
    # Drawn inside the test, because all test processes must collect the same test ids.
    seed = 1 if game == "known" else secrets.randbelow(1_000_000)
    Player(lab, seed).play(ACTIONS)
