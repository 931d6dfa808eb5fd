"""A fingerprint is a flat table of everything that a sweep could change.

Two fingerprints compare values bit for bit, objects by identity, and tensors also by strides and
storage address. The table holds the objects, so that Python cannot reuse their ids.
"""

import collections
import dataclasses
import os
import random
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lrwidget.data.batches import loader_generators

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


class Same:
    """A reference that compares by identity and keeps its object alive."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return f"{type(self.value).__name__} at {id(self.value):#x}"


@dataclasses.dataclass
class Bits:
    """A tensor's flags and every byte of its storage."""

    flags: tuple[Any, ...]
    bytes: bytes

    def __repr__(self) -> str:
        return f"{self.flags} bytes {hash(self.bytes):x}"


def fingerprint(**subjects: Any) -> dict[str, Any]:
    """Return the table of `subjects` (models, optimizers, loaders, ...) and of the process."""
    table: dict[str, Any] = {}
    seen: set[int] = set()
    for name, subject in subjects.items():
        table.update(_walk(name, subject, seen))
    for name, subject in subjects.items():
        for i, generator in enumerate(loader_generators(subject)):
            table[f"{name}.generator{i}"] = generator.get_state().numpy().tobytes()
    table.update(_classes(subjects))
    table.update(_process())
    return table


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Describe each difference between two tables in words."""
    gone = [f"{key} is gone" for key in before if key not in after]
    new = [f"{key} is new: {after[key]!r}" for key in after if key not in before]
    other = [
        f"{key} was {before[key]!r}, is {after[key]!r}"
        for key in before
        if key in after and before[key] != after[key]
    ]
    return gone + new + other


def _walk(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, PLAIN):
        # repr equates NaN with NaN, and separates -0.0 from 0.0, and 1 from 1.0 and True.
        yield path, repr(value)
        return
    yield path, (Same(value), Same(type(value)))
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield from _tensor(path, value, seen)
    elif isinstance(value, dict):
        yield f"{path}.keys", [_key(key) for key in value]
        for key, item in value.items():
            name = key if isinstance(key, str) else f"<{id(key):x}>"
            yield from _walk(f"{path}[{name}]", item, seen)
    elif isinstance(value, (list, tuple, collections.deque)):
        yield f"{path}.len", len(value)
        for i, item in enumerate(value):
            yield from _walk(f"{path}[{i}]", item, seen)
    elif isinstance(value, np.ndarray):
        yield f"{path}.bytes", (value.shape, value.strides, value.tobytes())
    elif isinstance(value, torch.Generator):
        yield f"{path}.state", value.get_state().numpy().tobytes()
    elif isinstance(value, np.random.Generator):
        yield f"{path}.state", repr(value.bit_generator.state)
    elif _has_attributes(value):
        yield from _walk(f"{path}.__dict__", vars(value), seen)


def _key(key: Any) -> Any:
    return key if isinstance(key, PLAIN) else Same(key)


def _has_attributes(value: Any) -> bool:
    """Return whether a sweep could plausibly change attributes of `value`."""
    known = (nn.Module, torch.optim.Optimizer, torch.amp.GradScaler, torch.utils.data.DataLoader)
    schedulers = (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    return isinstance(value, (*known, *schedulers, types.SimpleNamespace))


def _tensor(path: str, tensor: torch.Tensor, seen: set[int]) -> Iterator[tuple[str, Any]]:
    storage = tensor.untyped_storage()
    flags = (
        tuple(tensor.shape),
        tensor.stride(),
        tensor.storage_offset(),
        tensor.dtype,
        str(tensor.device),
        tensor.layout,
        tensor.requires_grad,
        tensor.is_leaf,
        tensor.data_ptr(),
        storage.data_ptr(),
        storage.nbytes(),
    )
    raw = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage.clone())
    yield f"{path}.tensor", Bits(flags, raw.cpu().numpy().tobytes())
    yield from _walk(f"{path}.attributes", vars(tensor), seen)
    yield f"{path}.grad_fn", Same(tensor.grad_fn)
    hooks = tensor._backward_hooks, tensor._post_accumulate_grad_hooks
    yield f"{path}.hooks", [list(h.items()) if h else [] for h in hooks]
    if tensor.is_leaf:
        yield from _walk(f"{path}.grad", tensor.grad, seen)


def _classes(subjects: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the methods of every subject's classes, since a sweep must leave none patched."""
    modules = [m for s in subjects.values() if isinstance(s, nn.Module) for m in s.modules()]
    for cls in {c for s in [*subjects.values(), *modules] for c in type(s).__mro__} - {object}:
        for name, value in vars(cls).items():
            if callable(value) or isinstance(value, (staticmethod, classmethod, property)):
                yield f"class {cls.__name__}.{name}", Same(value)


def _process() -> Iterator[tuple[str, Any]]:
    """Yield the process's generators, modes, hooks, threads, files and signal handlers."""
    yield "torch generator", torch.get_rng_state().numpy().tobytes()
    yield "torch seed", torch.initial_seed()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global generator is the subject
    yield "numpy generator", [s.tobytes() if isinstance(s, np.ndarray) else s for s in numpy_state]
    yield "python generator", random.getstate()
    if torch.cuda.is_initialized():
        yield "cuda generators", [s.numpy().tobytes() for s in torch.cuda.get_rng_state_all()]
    yield (
        "modes",
        (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_num_threads(),
        ),
    )
    for owner in map(sys.modules.get, ("torch.nn.modules.module", "torch.optim.optimizer")):
        for name, value in vars(owner).items():
            if name.startswith("_global_") and isinstance(value, dict):
                yield name, [(key, Same(hook)) for key, hook in value.items()]
    yield "threads", sorted(t.name for t in threading.enumerate())
    yield "open files", sorted(_open_files())
    yield "temporary files", temporary_files()
    yield "children", sorted(_children())
    yield "SIGINT", Same(signal.getsignal(signal.SIGINT))


def temporary_files() -> list[str]:
    """List the files in the temporary folder, without the cache of torch's compiler."""
    names = (path.name for path in Path(tempfile.gettempdir()).iterdir())
    return sorted(name for name in names if not name.startswith("torchinductor_"))


def _open_files() -> Iterator[str]:
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        try:
            yield f"{entry} -> {os.readlink(f'/proc/self/fd/{entry}')}"  # noqa: PTH115
        except FileNotFoundError:  # the descriptor of listdir itself
            continue


def _children() -> Iterator[int]:
    """Yield the ids of this process's child processes."""
    for task in Path("/proc/self/task").iterdir():
        try:
            yield from map(int, (task / "children").read_text().split())
        except FileNotFoundError:  # the thread has just ended
            continue
