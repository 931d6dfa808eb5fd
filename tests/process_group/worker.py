"""One rank of sweeps over several processes: RANK= WORLD_SIZE= python worker.py FOLDER SCENE...

Writes the results of each to FOLDER/SCENE-RANK.json, for the tests that started it.
"""

import contextlib
import datetime
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from lrwidget import TrainingTask, lr_find
from lrwidget.engine.check import check_lrs
from lrwidget.process_group import team
from lrwidget.sources.local import SweepRunner
from lrwidget.task.options import SweepOptions
from tests.tasks import blobs, network

OPTIONS: dict[str, Any] = {"start_lr": 1e-5, "end_lr": 1e-1, "steps": 12, "progress": False}
FAILS_AT = 5
RANK = int(os.environ["RANK"])
FAILS = RANK == 1
# Seconds to wait for the other rank: shorter than the default where it never answers.
TIMEOUTS = {"absent": 5.0, "hung": 10.0, "hosthung": 10.0}
# These scenes break the process group.
LAST_OF_A_GROUP = ("backward", "fsdp_forward", "fsdp_backward", "absent", "lost", "vanished")
LAST_OF_A_GROUP += ("hung", "hosthung")


class FailsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("in backward")


class VanishesInBackward(FailsInBackward):
    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return grad


class HangsInBackward(FailsInBackward):
    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGSTOP)
        return grad


class Scene:
    """A model on both ranks after some training, and the trouble that its sweep will meet."""

    fails_at = FAILS_AT  # the call of the loss in which the trouble happens

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.jsonl"
        self.wrapping, _, self.trouble = name.rpartition("_")
        self.calls = 0
        self.own_losses: list[float] = []
        torch.manual_seed(0)
        self.model = self._wrapped(network(normalised=True))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.loader = DataLoader(
            blobs(), batch_size=16, sampler=DistributedSampler(blobs(), seed=3)
        )
        self.few = list(self.loader)[:FAILS_AT]
        self.train()
        torch.manual_seed(20 + RANK)

    def _wrapped(self, model: nn.Sequential) -> nn.Module:
        model[0].register_forward_pre_hook(self.in_forward)
        if self.wrapping != "fsdp":
            return DistributedDataParallel(model)
        for layer in model:
            if isinstance(layer, nn.Linear):
                fully_shard(layer)
        return fully_shard(model)

    def train(self) -> None:
        """Take one step that accumulates, as users write it, and one that does not."""
        loss_fn = nn.CrossEntropyLoss()
        (x, y), second, third = list(self.loader)[:3]
        self.optimizer.zero_grad()
        if isinstance(self.model, DistributedDataParallel):
            with self.model.no_sync():
                loss_fn(self.model(x), y).backward()
        for x, y in (second, third):
            loss_fn(self.model(x), y).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def state(self) -> list[Any]:
        """Return all that training changes, as plain values."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        for held in self.optimizer.state.values():
            tensors += [value for value in held.values() if isinstance(value, torch.Tensor)]
        values = [getattr(t.detach(), "_local_tensor", t.detach()).tolist() for t in tensors]
        return [*values, self.optimizer.param_groups[0]["lr"]]

    # -- the trouble ------------------------------------------------------------------------------

    def in_forward(self, *_: Any) -> None:
        """Fail at the start of the model's forward, after that of DDP or FSDP has begun."""
        if self.trouble == "forward" and FAILS and self.calls == self.fails_at - 1:
            self.calls += 1
            raise ZeroDivisionError("in forward")

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.cross_entropy(output, target)
        self.own_losses.append(loss.item())
        self.calls = len(self.own_losses)  # a counter of its own is put back before each trial
        if self.trouble == "hosthung" and RANK == 0 and self.calls == self.fails_at:
            os.kill(os.getpid(), signal.SIGSTOP)
        if FAILS and self.trouble == "measuring" and self.calls == 2:
            raise ZeroDivisionError("in the loss")
        if not FAILS or self.calls != self.fails_at:
            return loss
        if self.trouble == "loss":
            raise ZeroDivisionError("in the loss")
        if self.trouble == "backward":
            return FailsInBackward.apply(loss)
        if self.trouble == "vanished":
            return VanishesInBackward.apply(loss)
        if self.trouble == "hung":
            return HangsInBackward.apply(loss)
        if self.trouble == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if self.trouble == "lost":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "nan":
            return loss * float("nan")
        return loss

    def batches(self) -> Any:
        if self.trouble == "loader" and FAILS:
            return BrokenAfter(self.loader, FAILS_AT)
        if self.trouble == "uneven" and FAILS:
            return iter(self.few)
        return self.loader

    def wake_the_other(self) -> None:
        """Resume the process that hangs, so that the threads here that wait for it can end."""
        if (RANK == 0) == (self.trouble == "hosthung"):
            return
        with contextlib.suppress(ProcessLookupError):  # it is awake already
            os.kill(int((self.folder / f"pid-{1 - RANK}").read_text()), signal.SIGCONT)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and any(
            thread.name.startswith("lrwidget") for thread in threading.enumerate()
        ):
            time.sleep(0.05)

    # -- the sweep --------------------------------------------------------------------------------

    def play(self) -> dict[str, Any]:
        before, generators = self.state(), (torch.get_rng_state(), random.getstate())
        began = time.monotonic()
        facts: dict[str, Any] = {"error": None}
        records = None
        try:
            records = self.sweep(facts)
        except Exception as error:  # noqa: BLE001 - what it is is the fact that is tested
            facts["error"] = f"{type(error).__name__}: {error}"
            facts["notes"] = getattr(error, "__notes__", [])
            records = getattr(error, "records", None)
        facts["seconds"] = time.monotonic() - began
        if self.trouble in ("hung", "hosthung"):
            self.wake_the_other()
        facts["threads"] = [thread.name for thread in threading.enumerate()]
        facts["restored"] = before == self.state()
        now = torch.get_rng_state(), random.getstate()
        facts["generators"] = torch.equal(generators[0], now[0]) and generators[1] == now[1]
        if records is not None:
            facts["loss"], facts["lr"] = records.loss.tolist(), records.lr.tolist()
            facts["reason"] = str(records.stop_reason)
            facts["validated"] = records.frame.get("val_loss", records.frame.loss).dropna().tolist()
            facts["own"] = self.own_losses
        default = dist.distributed_c10d._get_default_group()
        timeout = default._get_backend(torch.device("cpu")).options._timeout
        facts["timeout_is_as_before"] = timeout == datetime.timedelta(minutes=20)
        if self.name not in LAST_OF_A_GROUP:
            self.train()
            facts["trained"] = self.state()
        return facts

    def sweep(self, facts: dict[str, Any]) -> Any:
        arguments: list[Any] = [self.model, self.optimizer, self.loss]
        options = dict(OPTIONS)
        if self.trouble == "none" or (self.trouble == "absent" and FAILS):
            return None
        if self.trouble == "stop":
            return self.stopped(TrainingTask(*arguments, self.loader), facts)
        if self.trouble == "check":
            results = check_lrs(TrainingTask(*arguments, self.loader), [1e-4, 1e-2], steps=3)
            facts["losses"] = results.frame.loss.tolist()
            return None
        if self.trouble == "whole":
            options["repeats"] = 2
        if self.trouble == "validation":
            x, y = self.few[0]
            options |= {"val_data": [(x + RANK, y)], "val_every": 4}
        if self.trouble == "options" and FAILS:
            options |= {"start_lr": 1e-6, "steps": 13, "accumulate": 2, "seed": 1}
            options |= {"val_data": self.few}
        if self.trouble == "setup" and FAILS:
            options["device"] = "meta"
        return lr_find(*arguments, self.batches(), log=self.log, **options)

    def stopped(self, task: TrainingTask, facts: dict[str, Any]) -> Any:
        """Stop on one rank only, after that rank has asked for a higher end."""
        runner = SweepRunner(task, SweepOptions(start_lr=1e-5, end_lr=1e-1, steps=100_000))
        runner.start()
        if FAILS:
            while len(runner.records) < 3:
                pass
            try:
                runner.extend(1.0)
            except RuntimeError as error:
                facts["extended"] = str(error)
            runner.stop()
        return runner.wait()


class BrokenAfter:
    def __init__(self, loader: Any, count: int) -> None:
        self.loader, self.count = loader, count

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self.loader):
            if number == self.count:
                raise OSError("the disk is gone")
            yield batch


def meeting(folder: Path, number: int) -> dist.Store:
    """Return a store that lives in the process of rank 0, as under torchrun."""
    port, part = folder / f"port-{number}", folder / f"port-{number}.part"
    if RANK == 0:
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        part.write_text(str(store.port))
        part.rename(port)
        return store
    while not port.exists():
        time.sleep(0.01)
    return dist.TCPStore("127.0.0.1", int(port.read_text()), is_master=False)


def main(kind: type[Scene] = Scene) -> None:
    torch.set_num_threads(1)
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    (folder / f"pid-{RANK}").write_text(str(os.getpid()))
    usual, group_is_good = team.TIMEOUT, False
    for number, name in enumerate(names):
        if not group_is_good:
            if dist.is_initialized():
                dist.destroy_process_group()
            dist.init_process_group(
                "gloo",
                store=meeting(folder, number),
                rank=RANK,
                world_size=int(os.environ["WORLD_SIZE"]),
                timeout=datetime.timedelta(minutes=20),
            )
        scene = kind(name, folder)
        team.TIMEOUT = TIMEOUTS.get(scene.trouble, usual)
        facts = scene.play()
        (folder / f"{name}-{RANK}.json").write_text(json.dumps(facts))
        group_is_good = name not in LAST_OF_A_GROUP
    # A rank whose peer is lost would wait for it in a regular exit.
    os._exit(0)


if __name__ == "__main__":
    main()
