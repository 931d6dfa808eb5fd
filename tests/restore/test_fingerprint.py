"""The fingerprint detects anything that a restore leaves out."""

import collections
import random
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrwidget.backup import backup
from lrwidget.backup import tensor_copies as copies
from lrwidget.restore import snapshot
from tests.restore.endings import find
from tests.restore.fingerprint import differences
from tests.restore.scenes import Scene, batchnorm_dropout, fresh, partly_optimized, warm_adam


def _first(it: Scene) -> torch.nn.Parameter:
    return next(it.model.parameters())


def _set(holder: Any, name: str, value: Any) -> None:
    setattr(holder, name, value)


def _new_storage(it: Scene) -> None:
    _first(it).data = _first(it).data.clone()


def _transposed(it: Scene) -> None:
    weight = it.model.model[0].weight
    weight.data = weight.data.t().contiguous().t()


def _one_bit(it: Scene) -> None:
    with torch.no_grad():
        _first(it).view(torch.int32).flatten()[0] ^= 1


CHANGES: dict[str, Callable[[Scene], object]] = {
    "one bit of a weight": _one_bit,
    "the address of a weight": _new_storage,
    "the strides of a weight": _transposed,
    "another weight object": lambda it: _set(
        it.model.model[0], "weight", torch.nn.Parameter(it.model.model[0].weight.detach())
    ),
    "the sign of a zero": lambda it: it.model.zero.neg_(),
    "requires_grad": lambda it: _first(it).requires_grad_(False),
    "a gradient's value": lambda it: _first(it).grad.add_(1e-3),
    "a gradient lost": lambda it: _set(_first(it), "grad", None),
    "another gradient object": lambda it: _set(_first(it), "grad", _first(it).grad.clone()),
    "a hook on a weight": lambda it: _first(it).register_hook(lambda grad: grad),
    "an attribute of a weight": lambda it: _set(_first(it), "mark", 1),
    "a module's mode": lambda it: _set(it.model.model[1], "training", False),
    "a module's counter": lambda it: _set(it.model, "calls", it.model.calls + 1),
    "a module's list": lambda it: it.model.seen.append(0),
    "a module's own method": lambda it: _set(it.model, "forward", it.model.forward),
    "a hook on a module": lambda it: it.model.register_forward_hook(lambda *_: None),
    "the rate": lambda it: _set_group(it, "lr", 0.5),
    "a rate of another type": lambda it: _set_group(it, "lr", np.float64(0.01)),
    "a new entry of a group": lambda it: _set_group(it, "initial_lr", 0.5),
    "an optimizer state": lambda it: _state(it)["exp_avg"].add_(1e-3),
    "a step count": lambda it: _state(it)["step"].add_(1),
    "a state lost": lambda it: it.optimizer.state.clear(),
    "an optimizer's own method": lambda it: _set(it.optimizer, "step", it.optimizer.step),
    "an optimizer's class": lambda it: _set(it.optimizer, "__class__", _Patched),
    "an optimizer's hook": lambda it: it.optimizer.register_step_post_hook(lambda *_: None),
    "the torch generator": lambda it: torch.rand(1),
    "the numpy generator": lambda it: np.random.rand(),  # noqa: NPY002
    "the python generator": lambda it: random.random(),
    "the loader's generator": lambda it: torch.rand(1, generator=it.loader.generator),
    "the loader": lambda it: _set(it.loader, "_iterator", iter(it.loader)),
    "a thread": lambda it: threading.Thread(target=_ended.wait, name="left behind").start(),
    "a file": lambda it: _open.append(tempfile.TemporaryFile()),  # noqa: SIM115
    "a temporary file": lambda it: Path(tempfile.gettempdir(), "left").touch(),
    "grad mode": lambda it: torch.set_grad_enabled(False),
}
_ended = threading.Event()
_open: list[Any] = []


class _Patched(torch.optim.Adam):
    pass


def _set_group(it: Scene, name: str, value: Any) -> None:
    it.optimizer.param_groups[0][name] = value


def _state(it: Scene) -> dict[str, Any]:
    return it.optimizer.state[_first(it)]


@pytest.mark.parametrize("change", CHANGES)
def test_it_notices(change: str) -> None:
    it = warm_adam()
    it.model.zero = torch.zeros(1)
    before = it.fingerprint()
    assert differences(before, it.fingerprint()) == []
    try:
        CHANGES[change](it)
        assert differences(before, it.fingerprint()) != []
    finally:
        torch.set_grad_enabled(True)
        _ended.set()
        for thread in threading.enumerate():
            if thread.name == "left behind":
                thread.join()
        _ended.clear()
        while _open:
            _open.pop().close()
        Path(tempfile.gettempdir(), "left").unlink(missing_ok=True)


def remembered(patch: pytest.MonkeyPatch, kind: type, way: Any) -> None:
    """Make a backup remember objects of exactly this type with `way`, or not at all if None."""
    default = backup._method_for
    patch.setattr(backup, "_method_for", lambda other: way if other is kind else default(other))


# Each omission disables one part of the restore after a sweep in place.
OMISSIONS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "everything": lambda patch: patch.setattr(backup.Backup, "restore", lambda self: None),
    "the values": lambda patch: patch.setattr(copies.Copies, "_keep", lambda self, storage: None),
    "the gradients": lambda patch: patch.setattr(
        backup.Backup, "set_gradients_aside", lambda self: None
    ),
    "attributes and groups": lambda patch: remembered(
        patch, dict, lambda self, value: self._remember_items(value.values())
    ),
    "the optimizer's states": lambda patch: remembered(patch, collections.defaultdict, None),
    "lists": lambda patch: remembered(patch, list, None),
    "the generators": lambda patch: patch.setattr(
        snapshot, "remember_generators", lambda: lambda: None
    ),
    "the loader's generator": lambda patch: patch.setattr(
        "lrwidget.backup.objects.ObjectState.restore", lambda self: None
    ),
}


@pytest.mark.parametrize("omission", OMISSIONS)
def test_it_notices_a_restore_that_leaves_out(
    omission: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A restore removes the states of a fresh optimizer and resets those of a warm one.
    for make in (fresh, warm_adam, batchnorm_dropout, partly_optimized):
        it = make()
        task = it.task(snapshot="device")
        before = it.fingerprint()
        with monkeypatch.context() as patch:
            OMISSIONS[omission](patch)
            find(task)
        if differences(before, it.fingerprint()):
            return
    pytest.fail("nobody noticed")
