"""One rank of a sweep over several processes: python worker.py SCENE FOLDER, with RANK set.

Writes what came of it to FOLDER/rank<rank>.json, for the tests that started it.
"""

import datetime
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from lrwidget import TrainingTask, lr_find
from lrwidget.distributed import team
from lrwidget.options import SweepOptions
from lrwidget.runner import SweepRunner
from tests.tasks import blobs, network

OPTIONS: dict[str, Any] = {"start_lr": 1e-5, "end_lr": 1e-1, "steps": 12, "progress": False}
FAILS_AT = 5
scene, folder = sys.argv[1], Path(sys.argv[2])
own_losses: list[float] = []  # not in the loss module, which the sweep restores


class FailsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("in backward")


class Trouble(nn.CrossEntropyLoss):
    """Cross entropy that fails on the last rank, at one step, in the way of the scene."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        loss = super().forward(output, target)
        own_losses.append(loss.item())
        if dist.get_rank() != dist.get_world_size() - 1 or self.calls != FAILS_AT:
            return loss
        if scene == "forward":
            raise ZeroDivisionError("in forward")
        if scene == "backward":
            return FailsInBackward.apply(loss)
        if scene == "lost":
            os.kill(os.getpid(), signal.SIGKILL)
        if scene == "nan":
            return loss * float("nan")
        return loss


def batches(loader: DataLoader[Any]) -> Any:
    if scene == "loader" and dist.get_rank() == 1:
        return BrokenAfter(loader, FAILS_AT)
    if scene == "uneven" and dist.get_rank() == 1:
        return iter(list(loader)[:FAILS_AT])
    return loader


class BrokenAfter:
    def __init__(self, loader: Any, count: int) -> None:
        self.loader, self.count = loader, count

    def __iter__(self) -> Any:
        for number, batch in enumerate(self.loader):
            if number == self.count:
                raise OSError("the disk is gone")
            yield batch


def state(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    tensors = [*model.parameters(), *model.buffers()]
    for held in optimizer.state.values():
        tensors += [value for value in held.values() if isinstance(value, torch.Tensor)]
    return [getattr(t.detach(), "_local_tensor", t.detach()).clone() for t in tensors]


def main() -> dict[str, Any]:
    model: nn.Module = network(normalised=True)
    if scene == "fsdp":
        for layer in model:
            if isinstance(layer, nn.Linear):
                fully_shard(layer)
        fully_shard(model)
    else:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    loader = DataLoader(blobs(), batch_size=16, sampler=DistributedSampler(blobs(), seed=3))
    loss_fn = nn.CrossEntropyLoss()
    for x, y in list(loader)[:2]:  # a warm optimizer
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()
    before = state(model, optimizer)
    trouble = Trouble()
    facts: dict[str, Any] = {"error": None}
    records = None
    options = dict(OPTIONS)
    if scene == "plain":
        options["repeats"] = 2
    try:
        if scene == "stop":
            records = stopped(TrainingTask(model, optimizer, trouble, loader), facts)
        else:
            log = folder / "log.jsonl"
            records = lr_find(model, optimizer, trouble, batches(loader), log=log, **options)
    except Exception as error:  # noqa: BLE001 - what it is is the fact that is tested
        facts["error"] = f"{type(error).__name__}: {error}"
        records = getattr(error, "records", None)
    after = state(model, optimizer)
    facts["restored"] = len(before) == len(after) and all(map(torch.equal, before, after))
    if records is not None:
        facts["loss"], facts["lr"] = records.loss.tolist(), records.lr.tolist()
        facts["reason"] = str(records.stop_reason)
        facts["own"] = own_losses
    default = dist.distributed_c10d._get_default_group()
    timeout = default._get_backend(torch.device("cpu")).options._timeout
    facts["timeout_is_as_before"] = timeout == datetime.timedelta(minutes=20)
    facts["trains_on"] = scene in ("forward", "loader", "stop", "plain") and trains(
        model, optimizer, loader
    )
    return facts


def stopped(task: TrainingTask, facts: dict[str, Any]) -> Any:
    """Stop on rank 1 alone, which has wished to go on to a higher rate before."""
    runner = SweepRunner(task, SweepOptions(start_lr=1e-5, end_lr=1e-1, steps=100_000))
    runner.start()
    if dist.get_rank() == 1:
        while len(runner.records) < 3:
            pass
        try:
            runner.extend(1.0)
        except RuntimeError as error:
            facts["extended"] = str(error)
        runner.stop()
    return runner.wait()


def trains(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Any) -> bool:
    for x, y in list(loader)[:2]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return True


if __name__ == "__main__":
    torch.set_num_threads(1)
    team.TIMEOUT = float(os.environ.get("TEAM_TIMEOUT", team.TIMEOUT))
    dist.init_process_group("gloo", timeout=datetime.timedelta(minutes=20))
    result = main()
    (folder / f"rank{dist.get_rank()}.json").write_text(json.dumps(result))
    # Those who lost a peer cannot take leave of it.
    os._exit(0)
