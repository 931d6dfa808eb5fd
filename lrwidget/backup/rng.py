"""Save, seed and restore the random generators that training draws from."""

import random
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lrwidget.backup.walk import GENERATORS, is_a


def cuda_in_use() -> bool:
    """Return whether this process uses CUDA, without initializing it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


# Backends with one generator per device.
_ACCELERATORS: list[Any] = [torch.cuda, torch.xpu]


def is_generator(value: Any) -> bool:
    """Return whether `value` is a random generator of torch, numpy or Python, and not a global one.

    `remember_generators` saves the global generators.
    """
    if not is_a(value, GENERATORS):
        return False
    shared = [torch.default_generator, *torch.cuda.default_generators, *_SHARED]
    return not any(value is generator for generator in shared)


# The hidden global instances behind the module functions of Python and numpy.
_numpy_shared = np.random.mtrand._rand
_SHARED = (
    random._inst,
    _numpy_shared,
    _numpy_shared._bit_generator,
)


def remember_generator(generator: Any) -> Callable[[], object] | None:
    """Return a function that restores a generator (`is_generator`); None if it has no state."""
    if isinstance(generator, torch.Generator):
        held = generator.get_state()
        return lambda: generator.set_state(held)
    if isinstance(generator, np.random.Generator):
        return remember_generator(generator.bit_generator)
    if isinstance(generator, np.random.BitGenerator):
        bits: Any = generator
        state = bits.state
        of_bits = _seeds_of(bits)
        put_seeds_back = None if of_bits is None else remember_generator(of_bits)

        def put_back() -> None:
            bits.state = state
            if put_seeds_back is not None:
                put_seeds_back()

        return put_back
    if isinstance(generator, np.random.SeedSequence):
        seeds: Any = generator
        counted = _state_of_seeds(seeds)
        return lambda: seeds.__setstate__(counted)
    if isinstance(generator, np.random.RandomState):
        drawn = generator.get_state()
        return lambda: generator.set_state(drawn)
    try:
        python_state = generator.getstate()
    except NotImplementedError:  # SystemRandom
        return None
    return lambda: generator.setstate(python_state)


def remember_generators(own: Iterable[torch.Generator] = ()) -> Callable[[], None]:
    """Save the global generators of torch (CPU, devices in use), numpy and Python, and `own` ones.

    Returns:
        A function that restores all of them; may be called repeatedly. If sweeps of several models
        overlap, the last one to end restores the global generators to their state before the
        first; one in a step of another one restores them itself too.
    """
    loader = [(generator, generator.get_state()) for generator in own]
    this = _Sweep()
    with _sweeps_lock:
        # One within a step of another one is over before that goes on.
        within = any(sweep.thread == this.thread for sweep in _sweeps)
        inner = remember_shared() if within else None
        shared = next(iter(_sweeps.values()), None) or remember_shared()
        _sweeps[this] = shared

    def put_back() -> None:
        with _sweeps_lock:
            if this in _sweeps and len(_sweeps) == 1:
                shared()
            elif this in _sweeps and inner is not None:
                inner()
            _sweeps.pop(this, None)
        for generator, state in loader:
            generator.set_state(state)

    return put_back


@contextmanager
def unmoved() -> Iterator[None]:
    """Restore the global generators after the block to their state before it."""
    put_back = remember_shared()
    try:
        yield
    finally:
        put_back()


class _Sweep:
    """One sweep in progress, on this thread."""

    def __init__(self) -> None:
        self.thread: int = threading.get_ident()


# The function that restores the global generators, by sweep in progress. Keys are weak, so that a
# sweep that is interrupted before its caller refers to it does not count.
_sweeps: weakref.WeakKeyDictionary[_Sweep, Callable[[], None]] = weakref.WeakKeyDictionary()
_sweeps_lock = threading.Lock()


def remember_shared() -> Callable[[], None]:
    """Save the global generators; return a function that restores them."""
    cpu = torch.get_rng_state()
    # Reading the state of an unused device would initialize it.
    devices = [(b, b.get_rng_state_all()) for b in _ACCELERATORS if b.is_initialized()]
    unused = [b for b in _ACCELERATORS if not b.is_initialized()]
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    numpy_state = np.random.get_state()  # noqa: NPY002 - the legacy global generator is the subject
    python_state = random.getstate()

    def put_back() -> None:
        torch.set_rng_state(cpu)
        for backend, states in devices:
            backend.set_rng_state_all(states)
        for backend in unused:
            if backend.is_initialized():  # by the sweep; before, they had their initial seeds
                for generator in backend.default_generators:
                    generator.manual_seed(generator.initial_seed())
        if mps is not None:
            torch.mps.set_rng_state(mps)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)

    return put_back


def seed_generators(seed: int, own: Iterable[Any] = ()) -> None:
    """Seed the global generators and `own` ones of any type.

    Unlike `torch.manual_seed`, this queues no seeding for devices that are not in use.
    """
    torch.default_generator.manual_seed(seed)
    for backend in _ACCELERATORS:
        if backend.is_initialized():
            backend.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    for generator in own:
        _seed_one(generator, seed)


def _seed_one(generator: Any, seed: int) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, np.random.RandomState):
        generator.seed(seed % 2**32)
    elif isinstance(generator, random.Random):
        generator.seed(seed)
    elif isinstance(generator, np.random.SeedSequence):
        seeds: Any = generator
        seeds.__setstate__(_state_of_seeds(np.random.SeedSequence(seed)))
    else:
        bits = getattr(generator, "bit_generator", generator)
        bits.state = type(bits)(seed).state
        if (of_bits := _seeds_of(bits)) is not None:
            _seed_one(of_bits, seed)


def _seeds_of(bits: Any) -> np.random.SeedSequence | None:
    """Return the SeedSequence of a BitGenerator, which counts the generators that it spawns."""
    seeds = getattr(bits, "seed_seq", None)  # of numpy 1.25 and later, as is `spawn`
    return seeds if isinstance(seeds, np.random.SeedSequence) else None


def _state_of_seeds(seeds: Any) -> Any:
    """Return what `__setstate__` takes; the count itself is an attribute for reading only."""
    return seeds.__reduce__()[-1]
