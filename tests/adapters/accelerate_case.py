"""Model, optimizer and loader prepared by Accelerate, which accumulates."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from tests.adapters.case import BATCH, LR, Case, Loss, Plan, data, forget_accelerate, model

CLIP = 0.5


def accelerate_case(folder: Path, workers: int = 0, **options: Any) -> Case:
    """In `folder` nothing may be written."""
    forget_accelerate()
    torch.manual_seed(3)
    plan = Plan()
    settings = {"cpu": True, "mixed_precision": "bf16", "gradient_accumulation_steps": 2}
    accelerator = Accelerator(**settings, **options)
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

    batches = loader.batch_sampler  # of several processes' loaders, one that shares another one out
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
        [],
        train,
        lambda: optimizer.param_groups[0]["lr"],
    )
