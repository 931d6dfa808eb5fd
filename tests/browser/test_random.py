"""Random play in a real page: see tests/browser/play."""

from __future__ import annotations

import secrets

import pytest

from tests.browser.harness.lab import Lab
from tests.browser.play.player import Player

ACTIONS = 150
FRESH = secrets.randbelow(1_000_000)  # printed with the test's name


@pytest.mark.parametrize("seed", [1, FRESH])
def test_whatever_is_played_the_promises_hold(lab: Lab, seed: int) -> None:
    Player(lab, seed).play(ACTIONS)
