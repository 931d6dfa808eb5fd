"""What wrappers for several processes hold besides the state of a model, in a group of one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.optim import PostLocalSGDOptimizer
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from lrwidget import TrainingTask, check_lrs, lr_find, refine
from lrwidget.restore.attributes import put_back_after
from tests.tasks import blobs, network

OPTIONS: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 1e-1, "steps": 6, "progress": False}
LOSS = nn.CrossEntropyLoss()


@pytest.fixture(autouse=True)
def group() -> Iterator[None]:
    """Make this process the only one of a group."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def train(model: nn.Module, optimizer: Any, steps: int) -> list[float]:
    """Train some steps and return their losses."""
    losses = []
    for (x, y), _ in zip(DataLoader(blobs(), 16), range(steps), strict=False):
        optimizer.zero_grad()
        loss = LOSS(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def power_sgd() -> tuple[nn.Module, Any]:
    model = DistributedDataParallel(network())
    state = powerSGD_hook.PowerSGDState(None, start_powerSGD_iter=2, min_compression_rate=0.5)
    model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def averaging() -> tuple[nn.Module, Any]:
    model = DistributedDataParallel(network())
    averager = PeriodicModelAverager(period=2, warmup_steps=3)
    return model, PostLocalSGDOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), averager)


def static_graph() -> tuple[nn.Module, Any]:
    model = DistributedDataParallel(network(), static_graph=True)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize("trained", [0, 5])
def test_the_state_of_a_communication_hook_is_as_before(trained: int) -> None:
    model, optimizer = power_sgd()
    train(model, optimizer, trained)
    ((_, state),) = model._comm_hooks
    errors = {bucket: error.clone() for bucket, error in state.error_dict.items()}
    lr_find(model, optimizer, LOSS, blobs(), **OPTIONS)
    assert state.iter == trained
    assert state.error_dict.keys() == errors.keys()
    assert all(torch.equal(state.error_dict[bucket], errors[bucket]) for bucket in errors)


def test_an_averager_counts_on_from_where_it_was() -> None:
    model, optimizer = averaging()
    train(model, optimizer, 4)
    lr_find(model, optimizer, LOSS, blobs(), **OPTIONS)
    assert optimizer.averager.step == 4


def test_an_averager_that_a_step_calls_counts_on_from_where_it_was() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    averager = PeriodicModelAverager(period=2, warmup_steps=3)
    averager.step = 5

    def step(batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = LOSS(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        averager.average_parameters(model.parameters())
        return loss

    lr_find(TrainingTask(model, optimizer, data=DataLoader(blobs(), 16), step=step), **OPTIONS)
    assert averager.step == 5


@pytest.mark.parametrize("make", [power_sgd, static_graph])
@pytest.mark.parametrize("trained", [0, 5])
def test_training_goes_on_as_without_a_sweep(
    make: Callable[[], tuple[nn.Module, Any]], trained: int
) -> None:
    losses = []
    for swept in (False, True):
        torch.manual_seed(0)
        model, optimizer = make()
        train(model, optimizer, trained)
        if swept:
            lr_find(model, optimizer, LOSS, blobs(), repeats=2, **OPTIONS)
            check_lrs(model, [1e-3, 1e-2], 3, optimizer=optimizer, loss_fn=LOSS, data=blobs())
        losses.append(train(model, optimizer, 5))
    assert losses[0] == losses[1]


def test_putting_attributes_back_leaves_what_the_reducer_knows() -> None:
    model, optimizer = static_graph()
    with put_back_after([model]):  # as the adapters do
        train(model, optimizer, 3)
    assert len(train(model, optimizer, 3)) == 3


def test_a_sharded_model_is_refined_and_trains_as_before() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # slow to import

    found = []
    for refined in (False, True):
        torch.manual_seed(0)
        model = network()
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if refined:
            task = TrainingTask(model, optimizer, LOSS, blobs())
            refine(task, lr_find(task, **OPTIONS), budget=300)
        found.append(train(model, optimizer, 3))
    assert found[0] == found[1]
