"""One rank of sweeps through the adapters: LAUNCHER framework_worker.py FRAMEWORK... FOLDER.

Writes the results of each to FOLDER/FRAMEWORK-RANK.json, for the tests that launched it.
"""

import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import DataLoaderConfiguration
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lrwidget import LRRecords, lr_find, refine
from lrwidget.arguments import task_and_options
from lrwidget.curve import search
from lrwidget.sources.local import SweepRunner
from tests.adapters.case import BATCH, Case, make
from tests.restore.endings import OPTIONS
from tests.restore.fingerprint import differences
from tests.restore.plan import Data

RANK = int(os.environ["RANK"])
FOLDER = Path(sys.argv[-1])
SCENES: dict[str, dict[str, Any]] = {
    "lightning": {"devices": 2, "strategy": "ddp"},
    "transformers": {},
    "accelerate": {},
    "accelerate-launched": {},
    # Rank 0 reads the data for all ranks.
    "accelerate-dispatched": {"dataloader_config": DataLoaderConfiguration(dispatch_batches=True)},
}

read: list[int] = []
read_item = Data.__getitem__


def noting_item(data: Data, index: int) -> Any:
    read.append(index)
    return read_item(data, index)


def fresh(framework: str, name: str, **options: Any) -> Case:
    """Make the case with other random numbers on each rank, and other weights if unwrapped."""
    folder = FOLDER / f"{framework}-{name}-{RANK}"
    folder.mkdir()
    case = make(framework.partition("-")[0], folder, **{**SCENES[framework], **options})
    if RANK == 1 and not framework.startswith("accelerate"):
        with torch.no_grad():
            model_of(case).model[0].weight.add_(1.0)
    luck()
    return case


def luck() -> None:
    """Give each rank other random numbers from one seed, so that all ranks shuffle alike."""
    torch.manual_seed(10)
    torch.randn(RANK + 1)


def model_of(case: Case) -> Any:
    """Return the module that holds the plan."""
    held = next(iter(case.arguments))
    model = getattr(held, "model", held)  # a Trainer's
    model = getattr(model, "module", model)  # DDP's
    return getattr(model, "net", model)


def sweep(case: Case) -> dict[str, Any]:
    """Sweep the case and return the results."""
    case.task()  # joins the process group where the script has not, and stays in it
    before = case.fingerprint()
    facts: dict[str, Any] = {"error": None}
    try:
        keywords = {**case.keywords, **OPTIONS}
        records = lr_find(*case.arguments, **keywords, progress=False)
    except Exception as error:  # noqa: BLE001 - what it is is the fact that is tested
        facts["error"] = f"{type(error).__name__}: {error}"
        records = error.records  # type: ignore[attr-defined]
    facts["changed"] = differences(before, case.fingerprint())
    facts["fired"] = list(case.fired)
    facts["lr"], facts["loss"] = records.lr.tolist(), records.loss.tolist()
    facts["reason"] = str(records.stop_reason)
    return facts


def stopped_by_rank_0(case: Case) -> dict[str, Any]:
    task, options = task_and_options(*case.arguments, **case.keywords, steps=1000)
    before = case.fingerprint()
    run = SweepRunner(task, options)
    if RANK == 0:
        case.plan.at("forward", 9, run.stop)
    run.start()
    records = run.wait()
    return {
        "changed": differences(before, case.fingerprint()),
        "fired": list(case.fired),
        "reason": str(records.stop_reason),
        "loss": records.loss.tolist(),
    }


def refined(case: Case) -> dict[str, Any]:
    """Refine in short trials, of which two go on, and return the result."""
    search.SHORT_LENGTH, search.FARTHEST, search.NO_SUGGESTION = 4, 1, 1e-3
    task = case.task()
    before = case.fingerprint()
    read.clear()
    result = refine(task, LRRecords(), 25, held_out=0.25)
    return {
        "changed": differences(before, case.fingerprint()),
        "fired": list(case.fired),
        "result": result.as_json(),
        "read": list(read),
    }


def facts_of(framework: str) -> dict[str, Any]:
    """Play the scenes of one framework and return their results."""
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ
    facts: dict[str, Any] = {"had_group": dist.is_initialized(), "by_accelerate": by_accelerate}
    case = fresh(framework, "whole")
    read.clear()
    facts["whole"] = sweep(case)
    facts["first_read"] = read[:BATCH]
    facts["own"] = fresh(framework, "own").train(facts["whole"]["lr"])

    case = fresh(framework, "failed")
    if RANK == 1:
        case.plan.at("forward", 9, case.plan.fail)
    facts["failed"] = sweep(case)
    luck()
    facts["own_after"] = case.train(facts["whole"]["lr"])

    facts["refined"] = refined(fresh(framework, "refined"))
    facts["stopped"] = stopped_by_rank_0(fresh(framework, "stopped"))
    gc.collect()
    return facts


def plain() -> dict[str, Any]:
    """Run a script as a user writes it."""
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(torch.randn(8, 4) + RANK, torch.randint(0, 2, (8,))) for _ in range(3)]
    before = [p.clone() for p in model.parameters()]
    records = lr_find(model, optimizer, nn.CrossEntropyLoss(), batches, **OPTIONS, progress=False)
    return {
        "loss": records.loss.tolist(),
        "reason": str(records.stop_reason),
        "restored": all(map(torch.equal, before, model.parameters())),
    }


class FailsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        if RANK == 1:
            raise ZeroDivisionError("in backward")
        return grad


def amid() -> dict[str, Any]:
    """Fail on rank 1 while rank 0 waits for its gradients."""
    model = DistributedDataParallel(nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(torch.randn(8, 4), torch.randint(0, 2, (8,)))]
    before = [p.clone() for p in model.parameters()]

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return FailsInBackward.apply(nn.functional.cross_entropy(output, target))

    facts: dict[str, Any] = {}
    began = time.monotonic()
    try:
        lr_find(model, optimizer, loss_fn, batches, **OPTIONS, progress=False)
    except Exception as error:  # noqa: BLE001 - what it is is the fact that is tested
        facts["error"] = f"{type(error).__name__}: {error}"
    facts["seconds"] = time.monotonic() - began
    facts["restored"] = all(map(torch.equal, before, model.parameters()))
    return facts


ALONE = {"plain": plain, "amid": amid}


def main() -> None:
    torch.set_num_threads(1)
    tempfile.tempdir = str(FOLDER / f"temporary-{RANK}")
    Path(tempfile.tempdir).mkdir(exist_ok=True)
    Data.__getitem__ = noting_item  # type: ignore[method-assign]
    for framework in sys.argv[1:-1]:
        facts = ALONE[framework]() if framework in ALONE else facts_of(framework)
        (FOLDER / f"{framework}-{RANK}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
