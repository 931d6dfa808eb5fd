"""A sweep restores the random generators of accelerators; a fake replaces the device here.

`tests/engine/test_gpu.py` tests a real device.
"""

from typing import Any, Self

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from lrwidget.backup import rng
from lrwidget.backup.backup import Backup
from lrwidget.engine.readback import BlockingCopy, GroupedReader
from lrwidget.restore.snapshot import _state_to
from tests.tasks import problem


class Accelerator:
    """A fake of two devices whose generators take the process's seed at their first use."""

    def __init__(self) -> None:
        self.default_generators: tuple[torch.Generator, ...] = ()

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the fake itself: it replaces a module of torch, which is not part of a task."""
        return self

    def init(self) -> None:
        seeds = torch.initial_seed(), torch.initial_seed() + 1
        self.default_generators = tuple(torch.Generator().manual_seed(seed) for seed in seeds)

    def is_initialized(self) -> bool:
        return bool(self.default_generators)

    def get_rng_state_all(self) -> list[torch.Tensor]:
        assert self.is_initialized()
        return [generator.get_state() for generator in self.default_generators]

    def set_rng_state_all(self, states: list[torch.Tensor]) -> None:
        for generator, state in zip(self.default_generators, states, strict=True):
            generator.set_state(state)

    def manual_seed_all(self, seed: int) -> None:
        assert self.is_initialized()
        for generator in self.default_generators:
            generator.manual_seed(seed)


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> Accelerator:
    made = Accelerator()
    monkeypatch.setattr(rng, "_ACCELERATORS", [made])
    return made


def drawing(accelerator: Accelerator, drawn: list[Any]) -> TrainingTask:
    """Return a task whose loss initializes the accelerator and draws from its generators."""
    model, optimizer, _, data = problem()

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if not accelerator.is_initialized():
            accelerator.init()
        drawn.append([torch.rand(1, generator=g).item() for g in accelerator.default_generators])
        return nn.functional.cross_entropy(output, target)

    return TrainingTask(model, optimizer, loss_fn, data)


def states(accelerator: Accelerator) -> list[list[int]]:
    return [state.tolist() for state in accelerator.get_rng_state_all()]


@pytest.mark.parametrize("seed", [None, 3])
def test_the_generators_of_a_device_in_use_are_put_back(
    accelerator: Accelerator, seed: int | None
) -> None:
    accelerator.init()
    torch.rand(3, generator=accelerator.default_generators[1])
    before, drawn = states(accelerator), []
    for _ in range(2):
        lr_find(drawing(accelerator, drawn), steps=5, seed=seed, progress=False)
        assert states(accelerator) == before
    assert drawn[:5] == drawn[5:]


def test_generators_first_used_by_a_sweep_stand_at_their_seeds_afterwards(
    accelerator: Accelerator,
) -> None:
    fresh = Accelerator()
    fresh.init()
    lr_find(drawing(accelerator, []), steps=5, progress=False)
    assert accelerator.is_initialized()
    assert states(accelerator) == states(fresh)


def test_a_device_that_nobody_uses_is_left_alone(accelerator: Accelerator) -> None:
    lr_find(TrainingTask(*problem()), steps=5, seed=1, progress=False)
    assert not accelerator.is_initialized()


def test_a_backup_on_disk_does_not_mind_another_default_device() -> None:
    model = nn.Linear(3, 2)
    before = [p.clone() for p in model.parameters()]
    with torch.device("meta"):
        backup = Backup([model], "disk")
        with torch.no_grad():
            model.weight.add_(1)
        backup.restore()
        backup.close()
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize(("fused", "place"), [(True, "meta"), (False, "cpu")])
def test_counts_of_steps_move_with_the_parameters_where_kernels_read_them(
    fused: bool, place: str
) -> None:
    model, optimizer, loss_fn, data = problem(torch.optim.AdamW, fused=fused)
    inputs, targets = next(iter(data))
    loss_fn(model(inputs), targets).backward()
    optimizer.step()
    _state_to(optimizer, torch.device("meta"))
    for state in optimizer.state.values():
        assert {name: value.device.type for name, value in state.items()} == {
            "step": place,
            "exp_avg": "meta",
            "exp_avg_sq": "meta",
        }


def test_losses_of_different_devices_cross_apart() -> None:
    devices: list[str] = []

    def cross(values: torch.Tensor) -> BlockingCopy:
        devices.append(values.device.type)
        return BlockingCopy(torch.zeros(len(values)))

    reader = GroupedReader(cross)
    for place in ("meta", "meta", "cpu", "meta"):
        reader.push(0.1, torch.zeros((), device=place), None)
    reader.flush()
    assert devices == ["meta", "cpu", "meta"]
