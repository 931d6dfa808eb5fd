"""Which of the values that a LightningModule logs or returns in validation is the loss."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

# Words of a name that says no more than that it is the loss of held-out data.
_PLAIN = {"val", "valid", "validation", "eval", "dev", "loss", "epoch"}
# The usual names, first where several plain ones are logged.
_USUAL = ("val_loss", "val/loss", "valid_loss", "valid/loss", "validation_loss", "loss")
# Words of the name of a value that is larger for a better model.
_GAINS = {"acc", "accuracy", "auc", "auroc", "bleu", "dice", "f1", "iou", "jaccard", "kappa", "map"}
_GAINS |= {"miou", "pearson", "precision", "psnr", "r2", "recall", "rouge", "score", "spearman"}
_GAINS |= {"ssim", "top1", "top5"}
_LOADER = re.compile(r"/dataloader_idx_\d+$")


def monitored(callbacks: Iterable[Any], schedulers: Iterable[Any]) -> Iterator[str]:
    """Yield the values that the user has something minimize: a callback or a scheduler.

    Args:
        callbacks: the callbacks of a fit.
        schedulers: the configurations of its schedulers.
    """
    watching = [(one, one) for one in callbacks]
    watching += [(one, one.scheduler) for one in schedulers]
    for one, judge in watching:
        name = getattr(one, "monitor", None)
        if isinstance(name, str) and getattr(judge, "mode", None) == "min":
            yield name


def logged_loss(logged: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Return the names of the logged loss, one for each loader; none if no loss is logged.

    Args:
        logged: the values of a whole measurement, by their names.
        wanted: names of values that the user has something minimize.

    Raises:
        ValueError: several losses are logged, and nothing says which one is minimized.
    """
    names: dict[str, list[str]] = {}
    for name in logged:
        names.setdefault(_LOADER.sub("", name), []).append(name)
    for name in [n for n in names if n.removesuffix("_epoch") in names and n.endswith("_epoch")]:
        del names[name]  # the same value, where those of single batches are logged, too

    def first(candidates: Iterable[str]) -> list[str]:
        for name in candidates:
            if name in logged:
                return [name]
            if name in names:
                return names[name]
        return []

    losses = [n for n in names if "loss" in n.lower() and not _words(n) & {"train", "training"}]
    plain = [name for name in losses if _words(name) <= _PLAIN]
    found = first(name for name in wanted if "loss" in name.lower())
    found = found or first(name for name in _USUAL if name in names) or first(plain)
    if found:
        return found
    if len(losses) > 1:
        total = [name for name in losses if _words(name) & {"total", "overall"}]
        losses = total if len(total) == 1 else losses
    if len(losses) == 1:
        return names[losses[0]]
    found = first(wanted)
    if not found and losses:
        raise ValueError(
            f"{len(losses)} losses are logged on held-out data ({', '.join(losses)}), and which "
            "one judges is not said; log it as val_loss, or name it in the Trainer: "
            f"callbacks=[EarlyStopping(monitor={losses[0]!r})]"
        )
    return found


def returned_loss(outputs: Sequence[tuple[Any, int]], logged: Mapping[str, Any]) -> Any:
    """Return the mean of the losses that a step returned; None if it returned none.

    A returned value that is also logged, as an accuracy or another gain, is not a loss.

    Args:
        outputs: what was returned for each batch, by `loss_of_output`, and its number of samples.
        logged: the values that were logged.
    """
    if not outputs or any(value is None for value, _ in outputs):
        return None
    total = sum(samples for _, samples in outputs)
    mean = sum(value * (samples / total) for value, samples in outputs)
    for name, value in logged.items():
        if _words(name) & _GAINS and math.isclose(float(mean), float(value), rel_tol=1e-3):
            return None
    return mean


def loss_of_output(output: Any) -> Any:
    """Return the loss that a step returned for a batch, as a scalar tensor; None if it is none."""
    if isinstance(output, Mapping):
        output = output.get("loss", next((output[n] for n in _USUAL if n in output), None))
    if isinstance(output, float):
        return torch.as_tensor(output)
    if isinstance(output, torch.Tensor) and output.numel() == 1:
        return output.detach().reshape(())
    return None


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name.lower()))
