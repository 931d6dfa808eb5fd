"""Losses that compare several outputs of one model."""

import collections
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from lrwidget import TrainingTask, lr_find
from lrwidget.task.loss import outputs_and_loss

torch.manual_seed(0)
a, p, n = torch.randn(3, 8, 4)
same = torch.randint(0, 2, (8,)) * 2.0 - 1
square = nn.Linear(4, 4)  # with which an input that is passed raw would raise nothing
Pair = collections.namedtuple("Pair", ["y", "left", "right"])
Three = collections.namedtuple("Three", ["negative", "anchor", "positive"])


class Hard(nn.TripletMarginLoss):
    """A subclass, which inherits the call."""


class Contrastive(nn.Module):
    def forward(self, output1: Any, output2: Any, label: Any) -> Any:
        return functional.cosine_embedding_loss(output1, output2, label)


@dataclass
class Fields:
    x1: torch.Tensor
    x2: torch.Tensor
    y: torch.Tensor


class Together(nn.Module):
    """A siamese network that takes all inputs itself."""

    def forward(self, first: Any, second: Any) -> Any:
        return square(first), square(second)


class Optional(nn.Module):
    def forward(self, first: Any, second: Any = None) -> Any:
        return square(first) if second is None else (square(first), square(second))


class Many(nn.Module):
    def forward(self, x: Any) -> Any:
        return square(x), "state"


class Named(nn.Module):
    def forward(self, ids: Any, mask: Any = None, more: Any = None) -> Any:
        return square(ids)


def named(value: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"ids": value, "mask": torch.ones(8)}


triplet, cosine = nn.TripletMarginLoss(), nn.CosineEmbeddingLoss()
THREE: list[Any] = [
    triplet,
    Hard(),
    nn.TripletMarginLoss().forward,
    nn.TripletMarginWithDistanceLoss(),
    functional.triplet_margin_loss,
    functional.triplet_margin_with_distance_loss,
    partial(torch.triplet_margin_loss, reduction=1),
    partial(functional.triplet_margin_loss, margin=1.0),
    partial(partial(functional.triplet_margin_loss, margin=1.0), p=2.0),
    lambda anchor, positive, negative: triplet(anchor, positive, negative),
]
TWO: list[Any] = [
    cosine,
    functional.cosine_embedding_loss,
    partial(torch.cosine_embedding_loss, reduction=1),
    partial(functional.cosine_embedding_loss, margin=0.0),
    Contrastive(),
    lambda x1, x2, y: cosine(x1, x2, y),
]


@pytest.mark.parametrize("loss_fn", THREE)
@pytest.mark.parametrize("batch", [(a, p, n), [a, p, n], Three(n, a, p)])
def test_the_model_is_applied_to_anchor_positive_and_negative(loss_fn: Any, batch: Any) -> None:
    outputs, target, loss = outputs_and_loss(square, loss_fn, batch)
    assert target is None
    assert len(outputs) == 3
    assert torch.allclose(loss, triplet(square(a), square(p), square(n)))


@pytest.mark.parametrize("loss_fn", TWO)
@pytest.mark.parametrize("batch", [(a, p, same), [a, p, same], Pair(same, a, p)])
def test_the_model_is_applied_to_both_inputs_of_a_pair(loss_fn: Any, batch: Any) -> None:
    _, target, loss = outputs_and_loss(square, loss_fn, batch)
    assert target is same
    assert torch.equal(loss, cosine(square(a), square(p), same))


@pytest.mark.parametrize(
    ("loss_fn", "batch"),
    [
        (triplet, ([a, p, n],)),
        (triplet, [[a, p, n], []]),
        (triplet, {"anchor": a, "negative": n, "positive": p, "name": ["one"]}),
        (triplet, [{"anchor_image": a, "pos": p, "neg": n}]),
        (triplet, (a, p, n, ["one", "two"])),
        (cosine, ((a, p), same)),
        (cosine, {"img1": a, "label": same, "img2": p}),
        (cosine, Fields(a, p, same)),
        (cosine, (["one"], a, p, same)),
    ],
)
def test_batches_of_other_forms(loss_fn: Any, batch: Any) -> None:
    if loss_fn is triplet:
        expected = triplet(square(a), square(p), square(n))
    else:
        expected = cosine(square(a), square(p), same)
    assert torch.equal(outputs_and_loss(square, loss_fn, batch)[2], expected)


def test_a_ranking_of_scores() -> None:
    scores = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    ranking = nn.MarginRankingLoss()
    expected = ranking(scores(a), scores(p), same)
    for loss_fn in (ranking, functional.margin_ranking_loss, ranking.forward):
        assert torch.equal(outputs_and_loss(scores, loss_fn, (a, p, same))[2], expected)
    with pytest.raises(RuntimeError, match="same dimension") as caught:
        outputs_and_loss(scores[0], ranking, (a, p, same))
    assert (
        "loss_fn(model(batch[0]).squeeze(1), model(batch[1]).squeeze(1), batch[2])"
        in (caught.value.__notes__[0])
    )


def test_a_model_that_takes_all_inputs_is_called_once() -> None:
    expected = cosine(square(a), square(p), same)
    for batch in ((a, p, same), ((a, p), same)):
        assert torch.equal(outputs_and_loss(Together(), cosine, batch)[2], expected)


def test_inputs_with_names_of_their_own() -> None:
    batch = (named(a), named(p), named(n))
    expected = triplet(square(a), square(p), square(n))
    assert torch.equal(outputs_and_loss(Named(), triplet, batch)[2], expected)


def test_an_output_of_another_model_is_compared_as_it_is() -> None:
    narrow = nn.Linear(4, 2)
    ready = torch.randn(8, 2)
    loss = outputs_and_loss(narrow, cosine, (a, ready, same))[2]
    assert torch.equal(loss, cosine(narrow(a), ready, same))
    loss = outputs_and_loss(narrow, triplet, (a, ready, n))[2]
    assert torch.equal(loss, triplet(narrow(a), ready, narrow(n)))


@pytest.mark.parametrize(
    ("model", "loss_fn", "batch", "words"),
    [
        (Optional(), cosine, (a, p, same), "Optional may take one input or several"),
        (Optional(), triplet, (a, p), "a batch is a tuple of 2"),
        (square, triplet, (a, p, n, same), "a batch is a tuple of 4"),
        (square, triplet, {"one": a, "two": p, "three": n}, "a batch is a dict"),
        (square, cosine, (a, p), "a batch is a tuple of 2"),
        (Many(), triplet, (a, p, n), "Many returned a tuple of 2"),
    ],
)
def test_what_is_ambiguous_is_refused_with_the_step_to_write(
    model: Any, loss_fn: Any, batch: Any, words: str
) -> None:
    step = r"step=lambda batch: loss_fn\(model\(batch\[0\]\).*, model\(batch\[1\]\)"
    with pytest.raises(TypeError) as caught:
        outputs_and_loss(model, loss_fn, batch)
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert words.removeprefix("a batch is ") in told
    assert re.search(step, told)


def test_losses_that_do_not_compare_outputs_are_called_as_before() -> None:
    linear, w = nn.Linear(4, 4), torch.rand(8)
    weighted: Any = lambda output, target, weight: (weight * (output - target).mean(1)).mean()  # noqa: E731
    assert torch.equal(outputs_and_loss(linear, weighted, (a, p, w))[2], weighted(linear(a), p, w))
    hinge = nn.HingeEmbeddingLoss()
    assert torch.equal(outputs_and_loss(linear, hinge, (a, p))[2], hinge(linear(a), p))
    names: Any = lambda x1, x2, y: functional.mse_loss(x1, x2) + 0 * y.sum()  # noqa: E731
    narrow, b = nn.Linear(4, 2), torch.randn(8, 2)
    assert torch.equal(outputs_and_loss(narrow, names, (a, b, w))[2], names(narrow(a), b, w))

    class Mined(nn.TripletMarginLoss):
        """Finds its triplets in the batch itself."""

        def forward(self, embeddings: Any, labels: Any) -> Any:  # type: ignore[override]
            return embeddings.square().mean() + 0 * labels.sum()

    loss = outputs_and_loss(linear, Mined(), (a, same))[2]
    assert torch.equal(loss, Mined()(linear(a), same))


def test_a_sweep_has_the_losses_of_a_loop_of_ones_own() -> None:
    data = TensorDataset(a, p, n)
    options: Mapping[str, Any] = {"steps": 12, "progress": False, "seed": 0}
    found = lr_find(square, torch.optim.SGD, triplet, data, **options)
    optimizer = torch.optim.SGD(square.parameters(), 0.1)
    task = TrainingTask(
        *(square, optimizer),
        data=data,
        step=lambda b: triplet(square(b[0]), square(b[1]), square(b[2])),
    )
    expected = lr_find(task, **options)
    assert found.loss.tolist() == expected.loss.tolist()
