"""The data of the made tasks, from scikit-learn, Python and numpy's random generator."""

import re
from functools import cache

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor

Columns = tuple[Tensor, ...]
Split = tuple[Columns, Columns]


def split(*columns: np.ndarray, held: float = 0.25, most: int = 600, seed: int = 0) -> Split:
    """Shuffle and split, with at most `most` held out; floats become float32, integers int64."""
    order = np.random.default_rng(seed).permutation(len(columns[0]))
    count = min(int(held * len(order)), most)

    def tensor(values: np.ndarray) -> Tensor:
        kind = torch.float32 if values.dtype.kind == "f" else torch.int64
        return torch.tensor(values, dtype=kind)

    parts = order[count:], order[:count]
    train, rest = (tuple(tensor(c[part]) for c in columns) for part in parts)
    return train, rest


def standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / (x.std(0) + 1e-9)


@cache
def digits(noisy: float = 0.0, scale: float = 1 / 16, images: bool = False) -> Split:
    """Return handwritten digits; a share `noisy` of all labels is random."""
    x, y = datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng(1)
    y = np.where(rng.random(len(y)) < noisy, rng.integers(0, 10, len(y)), y)
    x = x * scale
    return split(x.reshape(-1, 1, 8, 8) if images else x, y)


@cache
def digit_pairs() -> Split:
    """Return pairs of digits, and the last digit of their sum."""
    x, y = datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, len(x), (2, 3000))
    return split(np.concatenate([x[a], x[b]], 1) / 16, (y[a] + y[b]) % 10)


@cache
def table(name: str, raw: bool = False) -> Split:
    """Return wine, breast cancer, iris, linnerud or diabetes; standardised unless raw."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "diabetes":
        x, y = standard(x), standard(y.astype(float))
        return split(x, y[:, None])
    return split(x if raw else standard(x), y)


@cache
def classes(
    features: int = 20, count: int = 4, noisy: float = 0.0, size: int = 2400, seed: int = 0
) -> Split:
    x, y = datasets.make_classification(
        size, features, n_informative=features // 2, n_classes=count, flip_y=noisy,
        n_clusters_per_class=2, class_sep=1.2, random_state=seed,
    )  # fmt: skip
    return split(standard(x), y)


@cache
def rings(kind: str, noise: float = 0.15, size: int = 1500) -> Split:
    """Return moons, circles, two spirals or a checkerboard in the plane."""
    rng = np.random.default_rng(3)
    if kind == "spirals":
        t = 0.5 + 3 * np.sqrt(rng.random(size)) * np.pi
        y = rng.integers(0, 2, size)
        sign = (2 * y - 1)[:, None]
        x = sign * np.stack([t * np.cos(t), t * np.sin(t)], 1) / 5 + noise * rng.normal(
            size=(size, 2)
        )
    elif kind == "board":
        x = rng.uniform(-2, 2, (size, 2))
        y = (np.floor(x[:, 0]) + np.floor(x[:, 1])).astype(int) % 2
    else:
        x, y = getattr(datasets, f"make_{kind}")(size, noise=noise, random_state=0)
    return split(x.astype(float), y)


@cache
def regression(kind: str, noise: float = 0.2, size: int = 2000, features: int = 10) -> Split:
    """Return friedman1-3, a linear target, a sine, steps or a product; targets standardised."""
    rng = np.random.default_rng(4)
    if kind.startswith("friedman"):
        args = {"n_features": features} if kind == "friedman1" else {}
        x, y = getattr(datasets, f"make_{kind}")(size, random_state=0, **args)
        x = standard(x)
    elif kind == "linear":
        scales = np.logspace(0, -1.5, features)
        x = rng.normal(size=(size, features)) * scales
        y = x @ (rng.normal(size=features) / scales)
    elif kind == "sine":
        x = rng.uniform(-1, 1, (size, 1))
        y = np.sin(12 * x[:, 0])
    elif kind == "steps":
        x = rng.uniform(-1, 1, (size, features))
        y = np.sign(x[:, 0]) + np.sign(x[:, 1]) * np.sign(x[:, 2])
    else:
        x = rng.normal(size=(size, features))
        y = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3]
    y = standard(y) + noise * rng.normal(size=size)
    return split(x, standard(y)[:, None])


@cache
def parity(bits: int, of: int, size: int = 4000) -> Split:
    """Return `bits` random bits, and the parity of the first `of` of them."""
    x = np.random.default_rng(5).integers(0, 2, (size, bits))
    return split(2.0 * x - 1, x[:, :of].sum(1) % 2)


@cache
def text(length: int = 24, size: int = 4000) -> Split:
    """Return windows of English text as codes of 27 characters, with the next ones as targets."""
    from pydoc_data.topics import topics

    letters = re.sub("[^a-z]+", " ", " ".join(map(topics.get, sorted(topics))).lower())
    codes = np.frombuffer(letters.encode(), np.uint8).astype(int)
    codes = np.where(codes == 32, 0, codes - 96)
    starts = np.random.default_rng(6).integers(0, len(codes) - length - 1, size)
    windows = codes[starts[:, None] + np.arange(length + 1)]
    return split(windows[:, :-1], windows[:, 1:], most=200)


@cache
def sequences(kind: str, length: int = 12, size: int = 3000) -> Split:
    """Token sequences with one answer: the first token, the most frequent, or a bracket balance."""
    rng = np.random.default_rng(7)
    x = rng.integers(0, 6, (size, length))
    if kind == "first":
        return split(x, x[:, 0], most=400)
    if kind == "most":
        return split(x, np.array([np.bincount(row, minlength=6).argmax() for row in x]), most=400)
    if kind == "reverse":  # one target per position
        return split(x, x[:, ::-1].copy(), most=400)
    if kind == "sort":
        return split(x, np.sort(x, 1), most=400)
    return split(x, (x == 0).sum(1) % 2, most=400)


@cache
def waves(kind: str, length: int = 16, size: int = 2000) -> Split:
    """Noisy waves, with their next value or the class of their speed."""
    rng = np.random.default_rng(8)
    speed, phase = rng.uniform(0.2, 1.2, (size, 1)), rng.uniform(0, 6.3, (size, 1))
    wave = np.sin(speed * np.arange(length + 1) + phase) + 0.1 * rng.normal(size=(size, length + 1))
    if kind == "next":
        return split(wave[:, :-1, None], wave[:, -1:], most=400)
    return split(wave[:, :-1, None], (speed[:, 0] * 5 - 1).astype(int), most=400)


@cache
def ratings(people: int = 80, things: int = 60, size: int = 3600) -> Split:
    rng = np.random.default_rng(9)
    u, v = rng.normal(size=(people, 3)), rng.normal(size=(things, 3))
    who, what = rng.integers(0, people, size), rng.integers(0, things, size)
    stars = (u[who] * v[what]).sum(1) / 2 + 0.4 * rng.normal(size=size)
    return split(np.stack([who, what], 1), stars)


@cache
def words(size: int = 6000, vocabulary: int = 60) -> Split:
    """A word and one from its neighbourhood, with six others: for skip-gram with negatives."""
    rng = np.random.default_rng(10)
    topic = rng.integers(0, 6, vocabulary)
    one = rng.integers(0, vocabulary, size)
    near = np.array([rng.choice(np.flatnonzero(topic == topic[w])) for w in one])
    return split(one, near, rng.integers(0, vocabulary, (size, 6)))


@cache
def counts(size: int = 2000, features: int = 8) -> Split:
    """Return counts for Poisson regression; their log-rate is a function of the features."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(size, features))
    y = rng.poisson(np.exp(np.clip(0.5 + 0.6 * x[:, 0] - 0.5 * x[:, 1] * (x[:, 2] > 0), -3, 3)))
    return split(x, y.astype(float)[:, None])


@cache
def tags(size: int = 2000, features: int = 16, labels: int = 8) -> Split:
    """Return examples with several labels each."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=(size, features))
    hidden = np.tanh(x @ rng.normal(size=(features, 12)) / 2)
    logits = hidden @ rng.normal(size=(12, labels)) + 0.3 * rng.normal(size=(size, labels)) - 1
    return split(x, (logits > 0).astype(float))


@cache
def graph(size: int = 240, groups: int = 4) -> Split:
    """Rows of a normalised adjacency with node features folded in twice; and the group."""
    rng = np.random.default_rng(13)
    y = rng.integers(0, groups, size)
    near = rng.random((size, size)) < np.where(y[:, None] == y, 0.08, 0.02)
    near = (near | near.T) + np.eye(size)
    share = near / near.sum(1, keepdims=True)
    x = np.eye(groups)[y] * 0.3 + rng.normal(size=(size, groups))
    x = np.concatenate([x, rng.normal(size=(size, 12))], 1)
    return split(share @ share @ x, y)


@cache
def sets(size: int = 2000, members: int = 10) -> Split:
    """Return sets of points and their spread, for models that pool."""
    rng = np.random.default_rng(14)
    scale = np.exp(rng.normal(size=(size, 1, 1)) * 0.5)
    x = rng.normal(size=(size, members, 2)) * scale
    return split(x, standard(x.max(1)[:, 0] - x.min(1)[:, 1])[:, None])
