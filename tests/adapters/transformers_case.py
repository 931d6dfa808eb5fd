"""A Hugging Face Trainer that accumulates, clips, logs, checkpoints and calls back."""

from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.adapters.case import (
    BATCH,
    LR,
    SAMPLES,
    Case,
    Loss,
    Plan,
    data,
    forget_accelerate,
    model,
    noting,
)


class Regression(torch.nn.Module):
    """Takes and gives what a Trainer's models do."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.net = model(plan)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        return {"logits": self.net(x)}


class Items(torch.utils.data.Dataset[dict[str, Any]]):
    """The samples as dicts."""

    def __init__(self, plan: Plan) -> None:
        self.samples = data(plan)

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> dict[str, Any]:
        x, y = self.samples[index]
        return {"x": x, "labels": y, "name": "dropped by the Trainer"}


class SteppingTrainer(Trainer):
    """A subclass with a step of its own; keeps the losses."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if hasattr(self, "kept"):
            self.kept.append((self.state.global_step, loss))
        return loss


class Rates(TrainerCallback):
    """Sets the rate of each step."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        self.used: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for group in kwargs["optimizer"].param_groups:
            if self.rates:
                group["lr"] = self.rates[state.global_step]
        self.used.append(kwargs["optimizer"].param_groups[0]["lr"])


def transformers_case(folder: Path, workers: int = 0, **options: Any) -> Case:
    """In `folder` nothing may be written."""
    forget_accelerate()
    torch.manual_seed(3)
    plan = Plan()
    fired: list[str] = []
    network, items, loss = Regression(plan), Items(plan), Loss(plan)

    def compute_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        # The Trainer leaves the scaling to a custom loss function.
        return loss(outputs["logits"], labels) * len(labels) * 2 / num_items_in_batch

    settings: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "dataloader_num_workers": workers,
        "report_to": [],
        "learning_rate": LR,
        "weight_decay": 0.1,
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 0.5,
        "logging_steps": 1,
        "save_steps": 1,
        "disable_tqdm": True,
        **options,
    }

    def trainer(**more: Any) -> SteppingTrainer:
        torch_state = torch.get_rng_state()  # the constructor seeds
        made = SteppingTrainer(
            network,
            TrainingArguments(**{**settings, **more}),
            train_dataset=items,
            compute_loss_func=compute_loss,
        )
        torch.set_rng_state(torch_state)
        return made

    given = trainer()
    given.add_callback(noting(TrainerCallback, fired)())
    fired.clear()

    def train(rates: list[float]) -> list[float]:
        own = trainer(max_steps=len(rates), save_strategy="no", logging_strategy="no")
        own.kept = []
        own.add_callback(Rates(rates))
        own.train()
        steps: dict[int, list[torch.Tensor]] = {}
        for step, part in own.kept:
            steps.setdefault(step, []).append(part)
        return [float(torch.stack(parts).sum()) for parts in steps.values()]

    def rate_of_training() -> float:
        seen = Rates([])
        given.args.max_steps, given.args.save_strategy = 1, "no"
        given.add_callback(seen)
        given.train()
        return seen.used[0]

    return Case(
        plan,
        (given,),
        {},
        lambda: {
            "model": network,
            "trainer": vars(given),
            "accelerator": vars(given.accelerator),
            "arguments": vars(given.args),
            "state": vars(given.state),
            "gradients": given.accelerator.gradient_state.__dict__,
            "files": str(sorted(p.name for p in folder.rglob("*"))),
        },
        fired,
        train,
        rate_of_training,
    )
