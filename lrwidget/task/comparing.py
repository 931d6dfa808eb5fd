"""Losses that compare several outputs of one model, as of siamese and triplet networks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from lrwidget.data.structure import TARGET_NAMES, describe, is_text, named_fields
from lrwidget.task.ended_iterator import ended_iterator
from lrwidget.task.mends import Mend, mend
from lrwidget.task.own_step import comparing_step, first_tensor
from lrwidget.task.signatures import takes

Place = tuple[str, Any]

# How many outputs they compare. A loss of two outputs takes a target too, one of three does not.
_CLASSES: tuple[tuple[type[nn.Module], int], ...] = (
    (nn.TripletMarginLoss, 3),
    (nn.TripletMarginWithDistanceLoss, 3),
    (nn.CosineEmbeddingLoss, 2),
    (nn.MarginRankingLoss, 2),
)
_FUNCTIONS: tuple[tuple[Any, int], ...] = (
    (functional.triplet_margin_loss, 3),
    (functional.triplet_margin_with_distance_loss, 3),
    (functional.cosine_embedding_loss, 2),
    (functional.margin_ranking_loss, 2),
    (torch.triplet_margin_loss, 3),
    (torch.cosine_embedding_loss, 2),
    (torch.margin_ranking_loss, 2),
)
# What outputs are called in a loss of the user's own, without their 1 and 2.
_STEMS = {"e", "emb", "embedding", "feat", "feature", "input", "o", "out", "output", "x", "z"}


def outputs_compared(loss_fn: Any) -> int:
    """Return how many outputs one of torch's losses, or a form of it, compares; 0 for others."""
    found = _unwrapped(loss_fn)
    owner = getattr(found, "__self__", found)  # the `forward` of a loss
    if isinstance(owner, nn.Module):
        wanted = next((count for kind, count in _CLASSES if isinstance(owner, kind)), 0)
        own = type(owner).forward not in [kind.forward for kind, _ in _CLASSES]
        return 0 if own and takes(owner).least != 3 else wanted
    return next((count for function, count in _FUNCTIONS if found is function), 0)


def compared(
    model: Any, loss_fn: Any, batch: Any, call: Callable[[Any], Any]
) -> tuple[Any, Any, Any] | None:
    """Apply the model to each input of a batch if the loss compares its outputs.

    Args:
        model, loss_fn, batch: as for `outputs_and_loss`.
        call: runs the model on one input field of a batch.

    Returns:
        The outputs, the target (None if there is none) and the unchecked loss; None if the loss
        is not known to compare outputs.

    Raises:
        TypeError: how the model is to be applied is ambiguous; the message has a step to adapt.
        Exception: any exception of the model or the loss function, with a note.
    """
    count = outputs_compared(loss_fn)
    sure = count > 0
    count = count or _count_by_names(loss_fn)
    if not count:
        return None
    places = _places(batch, count)
    inputs, rest = [v for _, v in places[:count]], [v for _, v in places[count:]]
    readable = len(inputs) == count and len(rest) == (count == 2)
    if not sure and not (readable and _alike(inputs)):
        return None
    accepted, name = takes(model), type(model).__name__
    together = accepted.least > 1 and accepted.fits(count)
    by_name = all(isinstance(value, Mapping) for value in inputs)
    each = accepted.fits(1) and (by_name or not accepted.fits(count))
    comparison = Comparison(loss_fn, count, [source for source, _ in places], together)
    if not readable:
        raise comparison.refusal(f"a batch is {describe(batch)}")
    if not together and not each:
        raise comparison.refusal(f"{name} may take one input or several")
    outputs: Any = ()
    try:
        outputs = model(*inputs) if together else _each(inputs, call)
        listed = isinstance(outputs, (tuple, list)) and len(outputs) == count
        if listed and all(isinstance(output, torch.Tensor) for output in outputs):
            return tuple(outputs), (rest[0] if rest else None), loss_fn(*outputs, *rest)
    except StopIteration as error:
        raise ended_iterator(error, "the model or the loss") from error
    except Exception as error:
        known = mend(model, loss_fn, batch, error=error)
        error.add_note(Mend(known) if known else comparison.note(batch, outputs, rest))
        raise
    returned = outputs if together else next(o for o in outputs if not torch.is_tensor(o))
    raise comparison.refusal(f"{name} returned {describe(returned)}", returned)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a loss is computed of several outputs, in words.

    Attributes:
        loss_fn: the loss function.
        count: number of outputs that it compares.
        sources: the source of each field of the batch; empty if it is not known.
        together: whether the model takes all inputs in one call.
    """

    loss_fn: Any
    count: int
    sources: list[str]
    together: bool = False

    def refusal(self, why: str, returned: Any = None) -> TypeError:
        """Return the error for what cannot be read, with a step to adapt."""
        form = "(input1, input2, target)" if self.count == 2 else "(anchor, positive, negative)"
        step = comparing_step(self.sources, self.count, self.together, first_tensor(returned))
        return TypeError(
            f"{self.name} compares {self.count} outputs of a model, which is applied to each input "
            f"of a batch {form}; but {why}: give a step of your own, such as {step}"
        )

    def note(self, batch: Any, outputs: Any = (), rest: Sequence[Any] = ()) -> str:
        """Return a note on an error of the model or the loss, with a step to adapt."""
        shapes = {getattr(value, "shape", None) for value in outputs}
        goals = {getattr(value, "shape", (None,)) for value in rest}
        flat = bool(shapes) and shapes == {(*goal, 1) for goal in goals}
        step = comparing_step(
            self.sources, self.count, self.together, ".squeeze(1)" if flat else ""
        )
        return (
            f"{self.name} compares {self.count} outputs of the model, and the batch is "
            f"{describe(batch)}. To read it in another way give a step of your own: {step}"
        )

    @property
    def name(self) -> str:
        """The name of the loss."""
        found = _unwrapped(self.loss_fn)
        return str(getattr(found, "__name__", type(found).__name__))


def _unwrapped(loss_fn: Any) -> Any:
    found = getattr(loss_fn, "_orig_mod", loss_fn)  # compiled
    while isinstance(found, partial) and not found.args:
        found = found.func
    return getattr(found, "__wrapped__", found)


def _count_by_names(loss_fn: Any) -> int:
    """Return how many outputs a loss of the user's own compares, if its arguments' names say so."""
    names = [name.lower() for name in takes(loss_fn).required]
    if len(names) != 3:
        return 0
    if names[0].startswith("anchor") and _triplet(names):
        return 3
    two = names[0].endswith("1") and names[1] == f"{names[0][:-1]}2"
    return 2 if two and names[0][:-1].rstrip("_").removesuffix("s") in _STEMS else 0


def _each(inputs: list[Any], call: Callable[[Any], Any]) -> list[Any]:
    """Apply the model to each input, but not to what is an output already, of another model."""
    first = call(inputs[0])
    of_input, of_output = (getattr(value, "shape", None) for value in (inputs[0], first))
    outputs = [first]
    for value in inputs[1:]:
        shape = getattr(value, "shape", None)
        ready = shape is not None and of_input != shape == of_output
        outputs.append(value if ready else call(value))
    return outputs


def _alike(values: list[Any]) -> bool:
    kinds = {(getattr(v, "dtype", None), tuple(getattr(v, "shape", ())[1:])) for v in values}
    return len(kinds) == 1 and all(isinstance(value, torch.Tensor) for value in values)


def _places(batch: Any, count: int) -> list[Place]:
    """Return the inputs and then the target of a batch, each with its source; empty if unclear."""
    if isinstance(batch, (tuple, list)) and len(batch) == 1 and isinstance(batch[0], Mapping):
        return [(f"batch[0]{source[5:]}", value) for source, value in _places(batch[0], count)]
    if isinstance(batch, Mapping):
        named = {str(name): (f"batch[{name!r}]", value) for name, value in batch.items()}
    else:
        names = getattr(batch, "_fields", None) or named_fields(batch) or ()
        named = {name: (f"batch.{name}", getattr(batch, name)) for name in names}
    named = {name: place for name, place in named.items() if _told(place[1])}
    goal = next((name for name in TARGET_NAMES if name in named), None)
    order = _triplet([name.lower() for name in named])
    if count == 3 and order:
        return [list(named.values())[at] for at in order]
    if count == 2 and goal is not None:
        return [*(place for name, place in named.items() if name != goal), named[goal]]
    return [(source, value) for source, value in _fields(batch, "batch", count) if _told(value)]


def _fields(batch: Any, source: str, count: int) -> Iterator[Place]:
    if not _is_list(batch):
        return
    for at, value in enumerate(batch):
        if at == 0 and len(batch) <= 2 and _is_list(value) and len(value) >= count:
            yield from _fields(value, f"{source}[0]", count)  # ((x1, x2), y)
        else:
            yield f"{source}[{at}]", value


def _is_list(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and not isinstance(value, PackedSequence)


def _triplet(names: list[str]) -> list[int]:
    """Return the places of anchor, positive and negative, by their initials; empty if unclear."""
    initials = [name[:1] for name in names]
    found = sorted(initials) == ["a", "n", "p"]
    return [initials.index(letter) for letter in "apn"] if found else []


def _told(value: Any) -> bool:
    """Return whether a field is neither text nor empty, as the target of a triplet may be."""
    return not is_text(value) and not (isinstance(value, (tuple, list)) and not value)
