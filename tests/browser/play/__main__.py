"""A long game: `make play PLAY_ARGS="--actions 5000 --seed 7"`."""

from __future__ import annotations

import argparse
import secrets

from tests.browser.harness.lab import Lab
from tests.browser.play.player import Player
from tests.browser.screenshots import browser_and_server


def main() -> None:
    """Play games of some hundred actions, each with its own seed, until all actions are played."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=5000)
    parser.add_argument("--game", type=int, default=500, help="actions with one widget")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--picture", default="game.png", help="of the page, where a game fails")
    arguments = parser.parse_args()
    with browser_and_server() as (context, server):
        for number in range(-(-arguments.actions // arguments.game)):
            seed = arguments.seed + number
            print(f"seed {seed}: {arguments.game} actions", flush=True)
            lab = Lab(server, context.new_page(), f"game{seed}")
            try:
                Player(lab, seed).play(arguments.game)
            except AssertionError:
                lab.page.screenshot(path=arguments.picture)
                raise
            lab.close(keep_kernel=True)


if __name__ == "__main__":
    main()
