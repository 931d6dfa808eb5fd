"""Random actions in a real page with a real kernel, checked against what must always hold.

- `notebook.py`: the notebook of a game, and the state that its kernel reports.
- `actions.py`: what a user, the page and the kernel can do.
- `player.py`: chooses actions from a seed, and checks the state after them.
- `__main__.py`: a long game: `make play PLAY_ARGS="--actions 5000 --seed 7"`.
"""
