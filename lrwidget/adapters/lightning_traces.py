"""Prevent log messages and patched classes that Lightning leaves when a Trainer is set up."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils.data import BatchSampler, DataLoader


@contextmanager
def quiet(package: str) -> Iterator[None]:
    """Suppress the messages that a Trainer logs at its construction: users did not make it."""
    logger = logging.getLogger(f"{package}.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def unpatched_loaders() -> Iterator[None]:
    """Remove the methods that Lightning leaves on loader classes after patching them.

    Lightning patches the classes while it requests a loader. Afterwards it sets the old methods on
    each class, even on a class that had inherited them.
    """
    classes = list(_with_subclasses(DataLoader)) + list(_with_subclasses(BatchSampler))
    held = [(cls, set(vars(cls))) for cls in classes]
    try:
        yield
    finally:
        for cls, names in held:
            for name in {"__init__", "__setattr__", "__delattr__"} & set(vars(cls)) - names:
                delattr(cls, name)


def _with_subclasses(cls: type) -> Iterator[type]:
    yield cls
    subclasses: list[type] = cls.__subclasses__()
    for subclass in subclasses:
        yield from _with_subclasses(subclass)
