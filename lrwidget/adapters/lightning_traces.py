"""What Lightning would leave behind where a private Trainer is made and set up."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils.data import BatchSampler, DataLoader


@contextmanager
def quiet(package: str) -> Iterator[None]:
    """Without the notes that a Trainer logs when it is made: nobody made one."""
    logger = logging.getLogger(f"{package}.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def unpatched_loaders() -> Iterator[None]:
    """Lightning patches loader classes while it asks for a loader, and leaves inherited methods.

    What it puts back afterwards it sets on each class, also where the class had inherited it.
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
