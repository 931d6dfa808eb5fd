"""Batches of unusual form are interpreted, or an error shows a `step` function to copy."""

from collections import namedtuple
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from lrwidget import LRFinderWidget, TrainingTask, lr_find
from lrwidget.task.loss import outputs_and_loss

x = torch.randn(6, 3)
y = torch.randn(6, 2)
classes = torch.arange(6) % 2
linear = nn.Linear(3, 2)
mse = nn.MSELoss()
ce = nn.CrossEntropyLoss()
expected = mse(linear(x), y)
sequences = [torch.randn(2 + i % 3, 3) for i in range(6)]
paths = ["a.png"] * 6


class Two(NamedTuple):
    a: torch.Tensor
    b: torch.Tensor


class OfPair(nn.Module):
    def forward(self, pair: Two) -> torch.Tensor:
        return linear(pair.a + pair.b)


class OfTwo(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return linear(a + b)


class Masked(nn.Module):
    def forward(self, a: torch.Tensor, mask: Any = None) -> torch.Tensor:
        return linear(a if mask is None else a * mask)


class Packed(nn.Module):
    def forward(self, packed: PackedSequence) -> torch.Tensor:
        return linear(packed.data)


class Bag(nn.Module):
    def forward(self, sequences: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([linear(s).mean(0) for s in sequences])


class BagWithOption(nn.Module):
    def forward(self, sequences: list[torch.Tensor], scale: float = 1.0) -> torch.Tensor:
        return Bag()(sequences) * scale


class OfMapping(nn.Module):
    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return linear(batch["a"] + batch["b"])


zeros = torch.zeros_like(x)
Named = namedtuple("Named", ["x", "label", "path"])


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (OfPair(), (Two(x, zeros), y)),
        (OfTwo(), (Two(x, zeros), y)),
        (OfTwo(), (x, zeros, y)),
        (OfMapping(), ({"a": x, "b": zeros}, y)),
        (linear, (x, y, paths)),
        (linear, (x, paths, y)),
        (linear, (x, y, {"path": paths, "size": None})),
        (Masked(), (x, y, paths)),
        (OfTwo(), (x, zeros, y, paths)),
        (nn.Sequential(linear), {"image": x, "label": y}),
        (nn.Sequential(linear), {"input": x, "target": y}),
        (nn.Sequential(linear), {"pixel_values": x, "labels": y, "path": paths}),
        (Masked(), {"image": x, "label": y}),
        (Masked(), {"a": x, "y": y, "path": paths}),
        (linear, [{"data": x, "label": y}]),
        (linear, Named(x, y, paths)),
    ],
)
def test_a_batch_with_one_reading_is_read(model: nn.Module, batch: Any) -> None:
    _, target, loss = outputs_and_loss(model, mse, batch)
    assert target is y
    assert torch.equal(loss, expected)


def test_a_packed_sequence_is_one_input() -> None:
    packed = pack_sequence(sequences, enforce_sorted=False)
    target = torch.randn(len(packed.data), 2)
    for model in (Packed(), nn.Sequential(Packed())):
        _, _, loss = outputs_and_loss(model, mse, (packed, target))
        assert torch.equal(loss, mse(linear(packed.data), target))
    output, _, _ = outputs_and_loss(Packed(), lambda output: output.mean(), packed)
    assert torch.equal(output, linear(packed.data))


@pytest.mark.parametrize("model", [Bag(), BagWithOption()])
@pytest.mark.parametrize("size", [6, 2, 1])
def test_a_list_with_one_thing_for_each_sample_is_one_input(model: nn.Module, size: int) -> None:
    few = [torch.randn(3 + i, 3) for i in range(size)]  # the last batch may have one or two samples
    target = torch.randn(size, 2)
    assert torch.equal(outputs_and_loss(model, mse, (few, target))[2], mse(Bag()(few), target))


def test_inputs_in_a_list_stay_several_in_a_batch_as_small_as_their_number() -> None:
    for rows in (1, 2, 6):
        a, b, goal = x[:rows], zeros[:rows], y[:rows]
        for batch in (([a, b], goal), ((a, b), goal), ([a, torch.ones_like(a)], goal)):
            model = OfTwo() if batch[0][1] is b else Masked()
            assert torch.equal(outputs_and_loss(model, mse, batch)[2], mse(linear(a), goal))
        assert torch.equal(outputs_and_loss(linear, mse, ([a], goal))[2], mse(linear(a), goal))


def test_a_weight_goes_to_a_loss_that_takes_one() -> None:
    weight = torch.rand(6)

    def weighted(output: Any, target: Any, weight: Any) -> Any:
        return ((output - target).square().mean(1) * weight).mean()

    _, target, loss = outputs_and_loss(linear, weighted, (x, y, weight))
    assert target is y
    assert torch.equal(loss, weighted(linear(x), y, weight))


# -- models with a loss of their own


class Detector(nn.Module):
    """A model that returns losses in train mode and boxes in eval mode, as torchvision's do."""

    def __init__(self, names: tuple[str, ...] = ("loss_box", "loss_class")) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.names = names

    def forward(self, images: list[torch.Tensor], targets: Any = None) -> Any:
        found = [self.linear(image).mean((0, 1)) for image in images]
        if not self.training:
            return [{"boxes": f.detach()} for f in found]
        assert targets is not None, "targets should not be none when in training mode"
        parts = [t["boxes"].mean() * f.sum() for f, t in zip(found, targets, strict=True)]
        return {name: sum(parts) * (i + 1) for i, name in enumerate(self.names)}


def pictures(count: int) -> Any:
    images = [torch.ones(3, 4 + i, 3) for i in range(count)]
    return images, [
        {"boxes": torch.ones(1 + i, 4), "labels": torch.ones(1 + i)} for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_mapping_of_losses_is_summed(count: int) -> None:
    model = Detector()
    images, targets = pictures(count)
    losses = model(images, targets)
    for batch in ((images, targets), (tuple(images), tuple(targets))):
        assert torch.equal(outputs_and_loss(model, None, batch)[2], sum(losses.values()))
        added = lambda output, target: sum(output.values())  # noqa: E731
        assert torch.equal(outputs_and_loss(model, added, batch)[2], sum(losses.values()))


@pytest.mark.parametrize(
    "names", [("box", "class"), ("loss_box", "loss_total"), ("loss_a", "seen")]
)
def test_a_mapping_that_is_not_all_losses_is_refused_with_the_sum_to_write(names: Any) -> None:
    with pytest.raises(TypeError, match=r"returned a dict .*sum\(model\(\*batch\).values\(\)\)"):
        outputs_and_loss(Detector(names), None, pictures(2))


def test_a_detector_is_swept_and_its_validation_is_refused_in_words() -> None:
    data = [pictures(2), pictures(3)]
    for call in (swept, swept_in_the_widget):
        assert call(Detector(), torch.optim.SGD, None, data) == 4
        with pytest.raises(TypeError, match="in eval mode, in which val_data is measured"):
            call(Detector(), torch.optim.SGD, None, data, val_data=data)


def swept(*arguments: Any, **options: Any) -> int:
    return len(lr_find(*arguments, steps=4, end_lr=1e-3, progress=False, **options))


def swept_in_the_widget(*arguments: Any, **options: Any) -> int:
    w = LRFinderWidget(*arguments, steps=4, end_lr=1e-3, **options)
    try:
        w.start()
        return len(w.wait(60))
    finally:
        w.close()


def test_a_model_with_its_own_loss_gets_the_batch_as_it_takes_it() -> None:
    class Whole(nn.Module):
        def forward(self, batch: Any) -> torch.Tensor:
            a, b = batch if isinstance(batch, (tuple, list)) else (batch["x"], batch["goal"])
            return mse(linear(a), b)

    class SweepTarget(nn.Module):
        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> Any:
            return {"loss": mse(linear(x), labels)}

    for batch in ((x, y), {"x": x, "goal": y}):
        assert torch.equal(outputs_and_loss(Whole(), None, batch)[2], expected)
    texts: list[Any] = [
        (x, y, paths),
        {"x": x, "labels": y, "path": paths},
        [{"x": x, "labels": y}],
    ]
    for batch in texts:
        assert torch.equal(outputs_and_loss(SweepTarget(), None, batch)[2], expected)


# -- ambiguous batches


@pytest.mark.parametrize(
    ("model", "batch", "shown"),
    [
        (linear, (x, y, torch.rand(6)), "tuple of 3 (tensor float32 (6, 3), tensor float32 (6, 2)"),
        (linear, {"x": x, "idx": classes, "label": y}, "dict {x: tensor float32 (6, 3), idx: "),
        (linear, {"image": x, "goal": y}, "dict {image: tensor float32 (6, 3), goal: tensor"),
        (OfTwo(), (x, zeros, y, y), "tuple of 4 (tensor float32 (6, 3)"),
    ],
)
def test_a_batch_is_shown_with_a_step_that_does(model: Any, batch: Any, shown: str) -> None:
    with pytest.raises(TypeError) as caught:
        outputs_and_loss(model, mse, batch)
    text = str(caught.value)
    assert shown in text
    call = text[text.rindex("TrainingTask(") :]
    known = {"TrainingTask": TrainingTask, "loss_fn": mse, "model": model, "data": [batch]}
    known["optimizer"] = torch.optim.SGD(linear.parameters(), lr=0.1)
    if not list(model.parameters()):
        known["model"] = nn.ModuleList([model, linear])
        known["model"].forward = model.forward
    task = eval(call, known)
    assert torch.equal(task.step(batch), expected)
    assert f"{float(x[0, 0]):.3f}" not in text


def test_the_structure_is_noted_where_model_or_loss_fail() -> None:
    Outputs = namedtuple("Outputs", ["logits", "aux"])
    with pytest.raises(TypeError) as caught:
        outputs_and_loss(lambda x: Outputs(linear(x), x), ce, (x, classes))
    (note,) = caught.value.__notes__
    assert "the model returned an Outputs {logits: tensor float32 (6, 2), aux: tensor" in note
    assert "loss_fn(model(batch[0]).logits, batch[1])" in note
    with pytest.raises(AttributeError, match="list") as failed:
        outputs_and_loss(linear, mse, (x, paths))
    assert (
        "the batch is a tuple of 2 (tensor float32 (6, 3), list of 6 (str, …))"
        in (failed.value.__notes__[0])
    )
    with pytest.raises(RuntimeError) as plain:
        outputs_and_loss(linear, ce, (x.T, classes))
    assert not hasattr(plain.value, "__notes__")


def test_sparse_inputs_are_shown_as_such() -> None:
    assert outputs_and_loss(lambda s: torch.sparse.mm(s, linear.weight.T), mse, (x.to_sparse(), y))
    with pytest.raises(TypeError, match=r"tensor float32 sparse_coo \(6, 3\)"):
        outputs_and_loss(linear, mse, (x.to_sparse(), y, y))
