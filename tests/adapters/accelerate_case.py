"""Model, optimizer and loader prepared by Accelerate, which accumulates, tracks and saves."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from torch.utils.data import DataLoader

from tests.adapters.case import (
    BATCH,
    LR,
    Case,
    Loss,
    Plan,
    data,
    forget_accelerate,
    model,
    scale_losses_on_the_cpu,
)

CLIP = 0.5


class NotingTracker(GeneralTracker):
    """Records each call."""

    name = "noting"
    requires_logging_directory = False
    tracker = None

    def __init__(self, fired: list[str]) -> None:
        super().__init__()
        self.fired = fired

    def start(self) -> None:
        self.fired.append("start")

    def store_init_configuration(self, values: Any) -> None:
        self.fired.append("store_init_configuration")

    def log(self, values: Any, step: int | None = None, **kwargs: Any) -> None:
        self.fired.append("log")

    def finish(self) -> None:
        self.fired.append("finish")


def accelerate_case(folder: Path, workers: int = 0, **options: Any) -> Case:
    """In `folder` nothing may be written."""
    forget_accelerate()
    torch.manual_seed(3)
    plan = Plan()
    fired: list[str] = []
    settings = {"cpu": True, "mixed_precision": "bf16", "gradient_accumulation_steps": 2}
    accelerator = Accelerator(log_with=NotingTracker(fired), **{**settings, **options})
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        scale_losses_on_the_cpu(accelerator)
    accelerator.init_trackers("noting", {})
    accelerator.register_save_state_pre_hook(lambda *_: fired.append("save_state"))
    fired.clear()
    loss_fn = Loss(plan)
    network = model(plan)
    optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), lr=LR)
    loader = DataLoader(data(plan), batch_size=BATCH, shuffle=True, num_workers=workers)
    network, optimizer, loader = accelerator.prepare(network, optimizer, loader)

    def train(rates: list[float]) -> list[float]:
        """The loop of Accelerate's documentation."""
        losses, group = [], []
        while True:
            for x, y in loader:
                if len(losses) == len(rates):
                    return losses
                with accelerator.accumulate(network):
                    optimizer.param_groups[0]["lr"] = rates[len(losses)]
                    loss = loss_fn(network(x), y)
                    group.append(loss.detach())
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(network.parameters(), CLIP)
                        losses.append(float(torch.stack(group).mean()))
                        group = []
                    optimizer.step()
                    optimizer.zero_grad()

    batches = loader.batch_sampler  # with several processes, a sampler that shards another one
    sampler = getattr(batches, "batch_sampler", batches).sampler
    return Case(
        plan,
        (network, optimizer, loss_fn, loader),
        {"clip_grad_norm": CLIP},
        lambda: {
            "model": network,
            "optimizer": optimizer.optimizer,
            "prepared": vars(optimizer),
            "loader": vars(loader),
            "sampler": vars(sampler),
            "accelerator": vars(accelerator),
            "gradients": accelerator.gradient_state.__dict__,
            "files": str(sorted(p.name for p in folder.rglob("*"))),
        },
        fired,
        train,
        lambda: optimizer.param_groups[0]["lr"],
    )
