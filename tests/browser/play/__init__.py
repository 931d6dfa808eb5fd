"""Random play in a real page with a real kernel, against a model of what must always hold.

- `notebook.py`: the notebook that is played on, and the state its kernel reports.
- `actions.py`: what a user, the page and the kernel can do.
- `player.py`: chooses actions from a seed, and knows what must hold after them.
- `__main__.py`: a long game: `make play PLAY_ARGS="--actions 5000 --seed 7"`.
"""
