"""Setups that cannot be swept over several processes raise an error that names an alternative."""

from pathlib import Path
from typing import Any

import pytest

from lrwidget import LRFinderWidget, lr_find
from lrwidget.adapters import lightning_strategy
from tests.adapters.case import make


def find(framework: str, folder: Path, **options: Any) -> None:
    case = make(framework, folder, **options)
    lr_find(*case.arguments, **case.keywords, steps=2, progress=False)


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_a_trainer_that_would_start_its_processes_is_told_how_to(
    strategy: str, folder: Path
) -> None:
    with pytest.raises(ValueError, match=r"torchrun --nproc-per-node 2 script.py, with Trainer"):
        find("lightning", folder, devices=2, strategy=strategy)


def test_lightnings_own_fsdp2_is_refused(folder: Path) -> None:
    from lightning.pytorch.strategies import ModelParallelStrategy

    options = {"strategy": ModelParallelStrategy(), "gradient_clip_val": None}
    with pytest.raises(ValueError, match="ModelParallelStrategy over 2 processes; the sweep foll"):
        find("lightning", folder, devices=2, **options)


@pytest.mark.parametrize("name", ["FSDPStrategy", "DeepSpeedStrategy"])
def test_strategies_that_a_trainer_has_on_accelerators_only_are_refused(
    name: str, folder: Path
) -> None:
    from lightning.pytorch import strategies

    case = make("lightning", folder, devices=2, strategy="ddp")
    connector = case.keywords["trainer"]._accelerator_connector
    spreads = getattr(strategies, name)
    # Without an accelerator a Trainer refuses these strategies, so the test sets one directly.
    connector.strategy = type(name, (spreads,), {"__init__": lambda self: None, "world_size": 2})()
    with pytest.raises(ValueError, match=rf"strategy is {name} .* shard it with torch's fully_sha"):
        lr_find(*case.arguments, **case.keywords, steps=2, progress=False)


def test_a_trainer_on_one_device_does_not_train_several_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightning_strategy, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"runs on one device, and this is one of 2 processes"):
        find("lightning", folder)
    module = make("lightning", folder).arguments[0]
    with pytest.raises(ValueError, match="no trainer is given, and this is one of 2 processes"):
        lr_find(module, data=[0])


@pytest.mark.parametrize("framework", ["fastai", "skorch"])
def test_frameworks_that_are_swept_in_one_process_only(
    framework: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrwidget.adapters.registry.process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"one of 2 processes, and a .* is swept in one only"):
        find(framework, folder)


def test_a_trainer_over_devices_of_one_process_is_refused(folder: Path) -> None:
    case = make("transformers", folder)
    case.arguments[0].args._n_gpu = 2
    with pytest.raises(ValueError, match="on 2 devices from one process; start one process for"):
        case.task()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("DEEPSPEED", "DeepSpeed"), ("FSDP", "FSDP"), ("MEGATRON_LM", "Megatron-LM")],
)
def test_what_accelerate_spreads_over_processes_is_refused(
    kind: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test sets the state, since Accelerate enables none of these on the CPU."""
    from accelerate.utils import DistributedType
    from accelerate.utils.deepspeed import DeepSpeedOptimizerWrapper

    model, optimizer, loss_fn, loader = make("accelerate", folder).arguments
    if kind == "DEEPSPEED":
        optimizer = DeepSpeedOptimizerWrapper(optimizer.optimizer)
    monkeypatch.setattr(optimizer.accelerator_state, "distributed_type", DistributedType[kind])
    for call in (lr_find, LRFinderWidget):
        with pytest.raises(ValueError, match=rf"prepared this with {name}, .* torch's fully_shard"):
            call(model, optimizer, loss_fn, loader)
