"""The data of the fresh tasks, from Python, its packages and numpy's random generator."""

import itertools
import re
from collections import Counter
from functools import cache

import matplotlib.colors
import networkx as nx
import numpy as np
from PIL import Image
from sklearn import datasets

from benchmarks.suggest.make.data import Split, split, standard
from benchmarks.suggest.make.unseen_data import SIDE, _patches, _sample

# Tables.


@cache
def boards() -> Split:
    """Return ended games of noughts and crosses, one-hot, and whether crosses have won."""
    lines = np.array([
        [0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6],
    ])  # fmt: skip
    rows, y = [], []
    for board in itertools.product((-1, 0, 1), repeat=9):
        cells = np.array(board)
        wins = [(cells[lines] == player).all(1).any() for player in (1, -1)]
        if all(wins) or not (any(wins) or cells.all()) or cells.sum() != int(not wins[1]):
            continue  # not a game that has just ended, with crosses beginning
        rows.append(np.eye(3)[cells + 1].ravel())
        y.append(int(wins[0]))
    return split(np.array(rows), np.array(y))


@cache
def customers(size: int = 3000) -> Split:
    """Return six categories of eight values each, and whether a rule of three of them holds."""
    rng = np.random.default_rng(40)
    x = rng.integers(0, 8, (size, 6))
    y = ((x[:, 0] < 4) & (x[:, 1] > 2)) | (x[:, 2] % 3 == 0)
    y = np.where(rng.random(size) < 0.05, ~y, y)
    return split(x, y.astype(int))


@cache
def rare(size: int = 3000) -> Split:
    """Return examples of which one in twenty is of the second class."""
    x, y = datasets.make_classification(
        size, 20, n_informative=8, weights=[0.95], flip_y=0.01, class_sep=1.0, random_state=41
    )
    return split(standard(x), y)


@cache
def lifetimes(size: int = 1500) -> Split:
    """Return features, the time that was observed, and whether the life ended then."""
    rng = np.random.default_rng(42)
    x = rng.normal(size=(size, 10))
    risk = x[:, 0] - 0.7 * x[:, 1] + 0.5 * x[:, 2] * x[:, 3]
    life, watched = rng.exponential(np.exp(-risk)), rng.exponential(2.0, size)
    return split(x, np.minimum(life, watched), (life < watched).astype(float), most=300)


@cache
def hastie(size: int = 2000) -> Split:
    """Return ten normal features, and whether their squares' sum is above its median."""
    x, y = datasets.make_hastie_10_2(size, random_state=43)
    return split(x, (y > 0).astype(int))


@cache
def roll(size: int = 1500) -> Split:
    """Return points of a rolled-up sheet, and their place on it."""
    x, t = datasets.make_swiss_roll(size, noise=0.3, random_state=44)
    return split(standard(x), standard(np.stack([t, x[:, 1]], 1)))


@cache
def inverse(size: int = 1500) -> Split:
    """Return values of a bent curve, and the places they may come from: up to three for each."""
    rng = np.random.default_rng(45)
    place = rng.uniform(0, 1, size)
    value = place + 0.3 * np.sin(6.3 * place) + 0.05 * rng.normal(size=size)
    return split(standard(value)[:, None], place[:, None])


@cache
def sparse(size: int = 400) -> Split:
    """Return forty features, of which four make up the noisy target."""
    rng = np.random.default_rng(46)
    x = rng.normal(size=(size, 40))
    y = x[:, :4] @ np.array([1.0, 2.0, -2.0, -1.5]) + 2.0 * rng.normal(size=size)
    return split(x, standard(y)[:, None])


@cache
def medians(size: int = 3000) -> Split:
    """Return seven numbers and their median."""
    x = np.random.default_rng(47).normal(size=(size, 7))
    return split(x, standard(np.median(x, 1))[:, None])


# Colours that people have named.


@cache
def colours() -> tuple[list[str], np.ndarray]:
    named = sorted(matplotlib.colors.XKCD_COLORS.items())
    texts = [re.sub("[^a-z]+", " ", name.removeprefix("xkcd:")) for name, _ in named]
    return texts, np.array([matplotlib.colors.to_rgb(code) for _, code in named])


@cache
def colour_names(length: int = 18) -> Split:
    """Return names of colours as letters 0 to 26, and the colours."""
    texts, rgb = colours()
    padded = [text[-length:].rjust(length) for text in texts]
    codes = np.array([[max(0, ord(letter) - 96) for letter in text] for text in padded])
    return split(codes, standard(rgb))


@cache
def colour_words() -> Split:
    """Return colours, and the last word of their names, one of six."""
    texts, rgb = colours()
    words = ("green", "blue", "purple", "pink", "brown", "red")
    kept = [i for i, text in enumerate(texts) if text.split()[-1] in words]
    y = np.array([words.index(texts[i].split()[-1]) for i in kept])
    return split(standard(rgb[kept]), y)


# Pictures.


@cache
def halves() -> Split:
    """Return the upper halves of digits and the lower ones."""
    x = datasets.load_digits().data / 16
    return split(x[:, :32], x[:, 32:])


@cache
def moved(size: int = 3000) -> Split:
    """Return digits that are moved by up to two pixels, and by how much."""
    rng = np.random.default_rng(48)
    x = datasets.load_digits().data.reshape(-1, SIDE, SIDE)[rng.integers(0, 1797, size)] / 16
    by = rng.integers(-2, 3, (size, 2))
    seen = np.stack([np.roll(one, tuple(b), (0, 1)) for one, b in zip(x, by, strict=True)])
    return split(seen[:, None], by / 1.5, most=400)


@cache
def taught(heat: float = 2.0) -> Split:
    """Return digits, and the softened answers of a linear teacher."""
    from sklearn.linear_model import LogisticRegression

    x, y = datasets.load_digits(return_X_y=True)
    teacher = LogisticRegression(C=0.1, max_iter=500).fit(x[:800] / 16, y[:800])
    logits = teacher.decision_function(x / 16) / heat
    soft = np.exp(logits - logits.max(1, keepdims=True))
    return split(x / 16, soft / soft.sum(1, keepdims=True))


@cache
def shapes(size: int = 2500) -> Split:
    """Return noisy pictures of bars, crosses, frames and diagonals, and which it is."""
    rng = np.random.default_rng(49)
    x, y = 0.5 * rng.normal(size=(size, 1, SIDE, SIDE)), rng.integers(0, 4, size)
    for picture, kind in zip(x[:, 0], y, strict=True):
        row, column = rng.integers(0, SIDE - 4, 2)
        part = picture[row : row + 5, column : column + 5]
        if kind == 0:
            part[2] += 1
        elif kind == 1:
            part[2] += 1
            part[:, 2] += 1
        elif kind == 2:
            part[[0, -1]] += 1
            part[1:-1, [0, -1]] += 1
        else:
            part[np.arange(5), np.arange(5)] += 1
    return split(x, y, most=400)


@cache
def spots(size: int = 2500) -> Split:
    """Return noisy pictures of bright spots, and how many there are."""
    rng = np.random.default_rng(50)
    count = rng.poisson(3, size)
    x = 0.3 * rng.normal(size=(size, 1, SIDE, SIDE))
    for picture, n in zip(x[:, 0], count, strict=True):
        picture[tuple(rng.integers(0, SIDE, (2, n)))] += 1.5
    return split(x, count.astype(float)[:, None], most=400)


@cache
def portrait() -> Split:
    """Return points of a portrait and their grey values."""
    with Image.open(_sample("grace_hopper.jpg")) as picture:
        grey = np.asarray(picture.convert("L"))[::8, ::8] / 255
    rows, columns = (axis.ravel() for axis in np.indices(grey.shape))
    x = np.stack([rows / rows.max(), columns / columns.max()], 1) * 2 - 1
    return split(x, standard(grey.ravel())[:, None], most=500)


@cache
def flower() -> Split:
    """Return patches of a photograph."""
    picture = np.asarray(datasets.load_sample_image("flower.jpg")).mean(2)[::2, ::2]
    x = _patches(picture).reshape(-1, SIDE * SIDE)
    x = (x - x.mean()) / x.std()
    return split(x, x, most=400)


# Physics and signals.


@cache
def pendulum(size: int = 2500) -> Split:
    """Return angle and speed of a damped pendulum, and their changes in a third of a second."""
    rng = np.random.default_rng(51)
    state = rng.uniform(-2.5, 2.5, (size, 2))
    new = state.copy()
    for _ in range(30):
        new = new + 0.01 * np.stack([new[:, 1], -9.8 * np.sin(new[:, 0]) - 0.2 * new[:, 1]], 1)
    x = np.stack([np.sin(state[:, 0]), np.cos(state[:, 0]), state[:, 1]], 1)
    return split(x, standard(new - state))


@cache
def lorenz(length: int = 12, ahead: int = 6) -> Split:
    """Return windows of Lorenz' weather, and one coordinate a little later."""
    states = [np.array([1.0, 1.0, 20.0])]
    for _ in range(3200):
        x, y, z = states[-1]
        change = np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
        states.append(states[-1] + 0.02 * change)
    path = standard(np.array(states[200:]))
    starts = np.arange(len(path) - length - ahead)
    windows = path[starts[:, None] + np.arange(length)]
    return split(windows, path[starts + length + ahead - 1, :1], most=400)


@cache
def heat(size: int = 1500, points: int = 16) -> Split:
    """Return temperatures along a rod, and those a while later."""
    rng = np.random.default_rng(52)
    x = rng.normal(size=(size, points))
    x = (x + np.roll(x, 1, 1) + np.roll(x, -1, 1)) / 1.7
    y = x
    for _ in range(8):
        y = y + 0.2 * (np.roll(y, 1, 1) - 2 * y + np.roll(y, -1, 1))
    return split(x, y + 0.02 * rng.normal(size=y.shape))


@cache
def seasons(length: int = 24, size: int = 2000) -> Split:
    """Return windows of a series with two seasons, a drift and outliers, and the next value."""
    rng = np.random.default_rng(53)
    t = np.arange(size + length)
    series = np.sin(t / 3.8) + 0.5 * np.sin(t / 1.1) + np.cumsum(0.05 * rng.normal(size=len(t)))
    series += 0.2 * rng.standard_t(2, len(t))
    starts = np.arange(size)
    x = series[starts[:, None] + np.arange(length)]
    base = x.mean(1, keepdims=True)
    y = series[starts + length][:, None] - base
    return split((x - base)[..., None], y, most=400)


@cache
def times(size: int = 1200) -> Split:
    """Return moments from 0 to 6, at which an equation must hold."""
    t = np.random.default_rng(54).uniform(0, 6, (size, 1))
    return split(t, t)


# Sequences and text.


@cache
def brackets(length: int = 16, size: int = 3000) -> Split:
    """Return brackets, and whether they are balanced: half of them are."""
    rng = np.random.default_rng(55)
    rows = []
    for i in range(size):
        if i % 2:
            rows.append(rng.permutation([0] * (length // 2) + [1] * (length // 2)))
            continue
        row, depth = [], 0
        for left in range(length, 0, -1):
            up = depth == 0 or (depth < left and rng.random() < 0.5)
            row.append(int(not up))
            depth += 1 if up else -1
        rows.append(np.array(row))
    x = np.array(rows)
    depths = np.cumsum(1 - 2 * x, 1)
    return split(x, ((depths.min(1) >= 0) & (depths[:, -1] == 0)).astype(int), most=400)


@cache
def adding(length: int = 12, size: int = 3000) -> Split:
    """Return numbers of which two are marked, and the sum of these."""
    rng = np.random.default_rng(56)
    value, mark = rng.uniform(-1, 1, (size, length)), np.zeros((size, length))
    for row in mark:
        row[rng.permutation(length)[:2]] = 1
    return split(np.stack([value, mark], 2), (value * mark).sum(1, keepdims=True), most=400)


@cache
def remainders(of: int = 23) -> Split:
    """Return all pairs of numbers below `of`, and the remainder of their sum."""
    x = np.array(list(itertools.product(range(of), repeat=2)))
    return split(x, x.sum(1) % of)


@cache
def echoes(length: int = 16, kinds: int = 8, size: int = 3000) -> Split:
    """Return sequences whose second half repeats the first, and the next token at each place."""
    x = np.random.default_rng(57).integers(0, kinds, (size, length))
    x = np.concatenate([x, x[:, :1]], 1)
    x[:, length // 2 : -1] = x[:, : length // 2]
    return split(x[:, :-1], x[:, 1:], most=300)


@cache
def prose(around: int = 2, vocabulary: int = 200, size: int = 6000) -> Split:
    """Return the words around a frequent word of English prose, and that word."""
    from pydoc_data.topics import topics

    words = re.findall("[a-z]+", " ".join(map(topics.get, sorted(topics))).lower())
    known = {w: i + 1 for i, (w, _) in enumerate(Counter(words).most_common(vocabulary - 1))}
    codes = np.array([known.get(word, 0) for word in words])
    places = np.flatnonzero(codes[around:-around] > 0) + around
    places = np.random.default_rng(58).permutation(places)[:size]
    beside = [i for i in range(-around, around + 1) if i]
    return split(codes[places[:, None] + beside], codes[places], most=500)


# Choices and graphs.


@cache
def offers(size: int = 3000, actions: int = 5) -> Split:
    """Return what is known, the action that was drawn evenly, and its reward."""
    rng = np.random.default_rng(59)
    x, action = rng.normal(size=(size, 8)), rng.integers(0, actions, size)
    worth = np.tanh(x @ rng.normal(size=(8, actions)))
    reward = worth[np.arange(size), action] + 0.3 * rng.normal(size=size)
    return split(x, action, reward)


@cache
def triangles() -> Split:
    """Return the adjacency of small graphs, their nodes in a random order, and their triangles."""
    rng = np.random.default_rng(60)
    rows, y = [], []
    for graph in nx.graph_atlas_g()[200:]:
        order = rng.permutation(7)
        matrix = np.zeros((7, 7))
        matrix[: len(graph), : len(graph)] = nx.to_numpy_array(graph)
        rows.append(matrix[order][:, order][np.triu_indices(7, 1)])
        y.append(sum(nx.triangles(graph).values()) / 3)
    return split(np.array(rows), standard(np.array(y))[:, None])


@cache
def liked(people: int = 60, things: int = 80, size: int = 4000) -> Split:
    """Return a person, something that the person likes, and something else."""
    rng = np.random.default_rng(61)
    taste = rng.normal(size=(people, 3)) @ rng.normal(size=(3, things))
    who = rng.integers(0, people, size)
    two = rng.integers(0, things, (size, 2))
    worth = taste[who[:, None], two] + 0.5 * rng.normal(size=(size, 2))
    two = np.where((worth[:, :1] > worth[:, 1:]), two, two[:, ::-1])
    return split(who, two[:, 0], two[:, 1])
