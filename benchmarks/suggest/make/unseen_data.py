"""The data of the unseen tasks, from Python, its packages and numpy's random generator."""

import gzip
import unicodedata
from functools import cache
from pathlib import Path

import matplotlib as mpl
import networkx as nx
import numpy as np
from PIL import Image
from sklearn import datasets

from benchmarks.suggest.make.data import Split, split, standard

SIDE = 8  # of a patch of a picture


def _sample(name: str) -> Path:
    return Path(mpl.get_data_path()) / "sample_data" / name


# Tables.


@cache
def wine_colour() -> Split:
    """Return wines: twelve measurements, and the colour intensity as the target."""
    x = standard(datasets.load_wine().data)
    return split(np.delete(x, 9, 1), x[:, 9:10])


@cache
def measurements() -> Split:
    """The thirty measurements of the breast cancer set, for models that code them."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return split(standard(x), y)


@cache
def worse(size: int = 2500) -> Split:
    """Return pairs of diabetes patients, and whose disease progressed more: 1 for the first."""
    (x, y), (held, truth) = split(*map(standard, datasets.load_diabetes(return_X_y=True)))
    rng = np.random.default_rng(20)

    def pairs(x: np.ndarray, y: np.ndarray, count: int) -> list[np.ndarray]:
        one, two = rng.integers(0, len(x), (2, count))
        return [x[one], x[two], (y[one] > y[two]).astype(float)]

    train = split(*pairs(x.numpy(), y.numpy(), size), held=0)[0]
    return train, split(*pairs(held.numpy(), truth.numpy(), 500), held=0)[0]


@cache
def digit_waves(count: int = 300) -> Split:
    """Digits by random Fourier features: a kernel machine when a linear model follows."""
    x, y = datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng(21)
    directions = rng.normal(size=(64, count)) / 2
    return split(np.cos(x / 16 @ directions + rng.uniform(0, 6.3, count)), y)


@cache
def digit_turns() -> Split:
    """Return digits in quarter turns, and the number of turns."""
    x = datasets.load_digits().data.reshape(-1, 1, SIDE, SIDE) / 16
    turns = np.random.default_rng(22).integers(0, 4, len(x))
    turned = np.stack([np.rot90(one, k, (1, 2)) for one, k in zip(x, turns, strict=True)])
    return split(turned, turns)


@cache
def digit_twins(size: int = 4000) -> Split:
    """Return pairs of digits, and whether they are the same: 1 in half of the pairs."""
    x, y = datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng(23)
    one, same = rng.integers(0, len(x), size), rng.integers(0, 2, size)
    pools = {(k, s): np.flatnonzero((y == k) == bool(s)) for k in range(10) for s in (0, 1)}
    two = np.array([rng.choice(pools[y[i], s]) for i, s in zip(one, same, strict=True)])
    return split(x[one] / 16, x[two] / 16, same.astype(float))


# Pictures, terrain, signals.


@cache
def photo_points(waves: int = 0) -> Split:
    """Return points of a photograph, optionally as Fourier features, and their colours."""
    picture = np.asarray(datasets.load_sample_image("china.jpg"))[:424:8, :640:8] / 255
    rows, columns = np.indices(picture.shape[:2])
    x = np.stack([rows / rows.max(), columns / columns.max()], -1).reshape(-1, 2) * 2 - 1
    if waves:
        angles = x @ np.random.default_rng(24).normal(size=(2, waves)) * 5
        x = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    return split(x, standard(picture.reshape(-1, 3)), most=500)


def _patches(picture: np.ndarray) -> np.ndarray:
    """Cut a picture (rows, columns) into patches that do not overlap."""
    rows, columns = (n // SIDE * SIDE for n in picture.shape)
    cut = picture[:rows, :columns].reshape(rows // SIDE, SIDE, columns // SIDE, SIDE)
    return cut.swapaxes(1, 2).reshape(-1, SIDE, SIDE).astype(float)


def _photographs() -> list[np.ndarray]:
    names = ("china.jpg", "flower.jpg")
    pictures = [np.asarray(datasets.load_sample_image(name)) for name in names]
    with Image.open(_sample("grace_hopper.jpg")) as hopper:
        pictures.append(np.asarray(hopper.convert("RGB")))
    return [_patches(picture.mean(2)[::2, ::2]) / 255 for picture in pictures]


@cache
def which_photo(flat: bool = False) -> Split:
    """Return grey patches of three photographs, and the number of the photograph."""
    pictures = _photographs()
    x = np.concatenate(pictures)
    y = np.repeat(np.arange(len(pictures)), [len(patches) for patches in pictures])
    x = (x - x.mean()) / x.std()
    return split(x.reshape(len(x), -1) if flat else x[:, None], y, most=400)


@cache
def finer_photo() -> Split:
    """Return patches of a photograph at half resolution, and the difference from the original."""
    x = _photographs()[1]
    coarse = x.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    rest = x - coarse.repeat(2, 1).repeat(2, 2)
    coarse = coarse - coarse.mean((1, 2), keepdims=True)
    return split(_flat(coarse) / coarse.std(), _flat(rest) / rest.std())


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


@cache
def scan(noise: float = 0.0, flat: bool = False) -> Split:
    """Return patches of a magnetic resonance image, with noise and without."""
    with gzip.open(_sample("s1045.ima.gz")) as file:
        picture = np.frombuffer(file.read(), np.uint16).reshape(256, 256).astype(float)
    x = _patches(picture)
    x = x[x.mean((1, 2)) > 0.1 * x.mean()][:, None]  # without the empty background
    x = (x - x.mean()) / x.std()
    seen = x + noise * np.random.default_rng(25).normal(size=x.shape)
    return split(_flat(seen), _flat(x)) if flat else split(seen, x)


@cache
def terrain(size: int = 4000) -> Split:
    """Return longitude and latitude, and the height of land or sea floor."""
    with np.load(_sample("topobathy.npz")) as file:
        height = file["topo"].astype(float)
    rows, columns = (axis.ravel() for axis in np.indices(height.shape))
    x = np.stack([rows / rows.max(), columns / columns.max()], 1) * 2 - 1
    kept = np.random.default_rng(26).permutation(len(x))[:size]
    return split(x[kept], standard(height.ravel()[kept])[:, None], most=500)


@cache
def profiles(length: int = 16, size: int = 3000) -> Split:
    """Return profiles of a mountain's elevation, and the next height relative to the last."""
    with np.load(_sample("jacksboro_fault_dem.npz")) as file:
        height = file["elevation"].astype(float)
    rng = np.random.default_rng(27)
    rows = rng.integers(0, height.shape[0], size)
    starts = rng.integers(0, height.shape[1] - length, size)
    x = height[rows[:, None], starts[:, None] + np.arange(length + 1)]
    x = x - x[:, -2:-1]
    return split(x[:, :-1, None] / x.std(), x[:, -1:] / x[:, -1:].std(), most=500)


@cache
def eeg(length: int = 20) -> Split:
    """Return windows of a four-channel electroencephalogram, and the next values."""
    x = standard(np.fromfile(_sample("eeg.dat"), float).reshape(800, 4))
    starts = np.arange(len(x) - length)
    windows = x[starts[:, None] + np.arange(length + 1)]
    return split(windows[:, :-1], windows[:, -1], most=200)


@cache
def chords(notes: int = 6, length: int = 64, size: int = 2000) -> Split:
    """Return noisy sounds of several simultaneous notes, and which notes these are."""
    rng = np.random.default_rng(28)
    played = rng.random((size, notes)) < 0.35
    pitch = 0.15 * 2 ** (np.arange(notes) / 3)
    phase = rng.uniform(0, 6.3, (size, notes, 1))
    waves = np.sin(6.3 * pitch[:, None] * np.arange(length) / 2 + phase)
    x = (played[..., None] * waves).sum(1) + 0.2 * rng.normal(size=(size, length))
    return split(x[..., None], played.astype(float), most=400)


@cache
def chirps(length: int = 32, size: int = 2500) -> Split:
    """Return noisy tones, and whether they rise or fall."""
    rng = np.random.default_rng(29)
    up, t = rng.integers(0, 2, size), np.linspace(0, 1, length)
    bend = np.where(up, 1, -1)[:, None] * rng.uniform(4, 8, (size, 1))
    wave = np.sin(12 * t + bend * (t - 0.5) ** 2 + rng.uniform(0, 6.3, (size, 1)))
    return split((wave + 0.4 * rng.normal(size=wave.shape))[..., None], up, most=400)


# Text, numbers, graphs.


@cache
def names(length: int = 24, size: int = 5000) -> Split:
    """Return names of Unicode characters as letters, and their category, one of five."""
    kinds = {"Lo": 0, "So": 1, "Ll": 2, "Sm": 3, "Lu": 4}
    rows, y = [], []
    for letter in map(chr, range(0x20, 0x2C00)):
        name, kind = unicodedata.name(letter, ""), unicodedata.category(letter)
        if name and kind in kinds:
            text = name[-length:].ljust(length)
            rows.append([ord(c) - 64 if c.isalpha() else 27 * (c != " ") for c in text])
            y.append(kinds[kind])
    kept = np.random.default_rng(30).permutation(len(y))[:size]
    return split(np.array(rows)[kept], np.array(y)[kept], most=300)


@cache
def source(length: int = 24, size: int = 4000, last: bool = False) -> Split:
    """Return windows of a Python module's source as codes 0 to 95, with the next code."""
    import _pydecimal

    text = Path(_pydecimal.__file__).read_text(encoding="utf-8")
    codes = np.clip(
        np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(int) - 31, 0, 95
    )
    starts = np.random.default_rng(31).integers(0, len(codes) - length - 1, size)
    windows = codes[starts[:, None] + np.arange(length + 1)]
    return split(windows[:, :-1], windows[:, -1] if last else windows[:, 1:], most=200)


@cache
def sums(bits: int = 12, size: int = 3000) -> Split:
    """Return two binary numbers, lowest bits first, and the bits of their sum."""
    rng = np.random.default_rng(32)
    x = rng.integers(0, 2, (size, bits, 2))
    total = (x * 2 ** np.arange(bits)[:, None]).sum((1, 2))
    return split(2.0 * x - 1, total[:, None] >> np.arange(bits) & 1, most=400)


@cache
def larger(digits: int = 4, size: int = 4000) -> Split:
    """Return two decimal numbers, digit by digit, and whether the first is larger."""
    x = np.random.default_rng(33).integers(0, 10, (size, 2 * digits))
    x[: size // 2, digits] = x[: size // 2, 0]  # else the first digit usually decides
    powers = 10 ** np.arange(digits)[::-1]
    return split(x, (x[:, :digits] @ powers > x[:, digits:] @ powers).astype(int), most=400)


@cache
def recall(pairs: int = 4, keys: int = 6, size: int = 4000) -> Split:
    """Return alternating keys and values, then one of the keys; the target is its value."""
    rng = np.random.default_rng(34)
    key = np.array([rng.permutation(keys)[:pairs] for _ in range(size)])
    value = rng.integers(0, keys, (size, pairs))
    asked = rng.integers(0, pairs, size)
    row = np.arange(size)
    x = np.stack([key, keys + value], 2).reshape(size, -1)
    return split(np.concatenate([x, key[row, asked][:, None]], 1), value[row, asked], most=400)


@cache
def meetings() -> Split:
    """Return pairs of characters of Les Misérables, and whether they meet: half of them do."""
    graph = nx.convert_node_labels_to_integers(nx.les_miserables_graph())
    met = np.array(sorted(graph.edges))
    apart = np.array(sorted(nx.complement(graph).edges))
    rng = np.random.default_rng(35)
    apart = apart[rng.permutation(len(apart))[: len(met)]]
    y = np.repeat([1.0, 0.0], len(met))
    return split(np.concatenate([met, apart]), y)
