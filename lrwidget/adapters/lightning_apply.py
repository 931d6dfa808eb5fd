"""Where a LightningModule keeps the learning rate that its optimizer begins with."""

from typing import Any

RATES = ("lr", "learning_rate")


def set_rate(module: Any, datamodule: Any, lr: float) -> None:
    """Set `lr` or `learning_rate` in a module, a datamodule and the hparams of both.

    Raises:
        ValueError: none of them has either name.
    """
    owners = [module, getattr(module, "hparams", None)]
    owners += [datamodule, getattr(datamodule, "hparams", None)]
    name = next((n for n in RATES if any(_holds(p, n) for p in owners)), None)
    if name is None:
        raise ValueError(
            f"{type(module).__name__} has neither lr nor learning_rate, as an attribute "
            f"or in hparams; let configure_optimizers read self.lr, or use {lr!r} there"
        )
    for owner in owners:
        if _holds(owner, name):
            if isinstance(owner, dict):
                owner[name] = lr
            else:
                setattr(owner, name, lr)


def _holds(owner: Any, name: str) -> bool:
    if isinstance(owner, dict):
        return name in owner
    return owner is not None and hasattr(owner, name)
