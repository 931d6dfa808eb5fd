"""The loss of a batch, for every form of batch."""

import collections
import dataclasses
import gc
import inspect
import weakref
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget.task.loss import outputs_and_loss

x = torch.randn(4, 3)
y = torch.randn(4, 2)
linear = nn.Linear(3, 2)
mse = nn.MSELoss()
Pair = collections.namedtuple("Pair", ["inputs", "goal"])


@dataclasses.dataclass
class Sample:
    x: torch.Tensor
    y: torch.Tensor


class Keyword(nn.Module):
    def forward(self, x: torch.Tensor, labels: Any = None, scale: float = 1.0) -> Any:
        output = linear(x) * scale
        return output if labels is None else {"loss": mse(output, labels), "logits": output}


class TwoInputs(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return linear(a + b)


class OfSample(nn.Module):
    def forward(self, sample: Sample) -> torch.Tensor:
        return linear(sample.x)


expected = mse(linear(x), y)


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (linear, (x, y)),
        (linear, [x, y]),
        (linear, Pair(x, y)),
        (linear, ([x], y)),
        (TwoInputs(), (x, torch.zeros_like(x), y)),
        (TwoInputs(), ((x, torch.zeros_like(x)), y)),
        (TwoInputs(), ({"a": x, "b": torch.zeros_like(x)}, y)),
        (Keyword(), {"x": x, "labels": y}),
        (Keyword(), {"x": x, "y": y}),
        (OfSample(), Sample(x, y)),
    ],
)
def test_a_batch_with_a_target_meets_the_loss_function(model: nn.Module, batch: Any) -> None:
    _, target, loss = outputs_and_loss(model, mse, batch)
    assert target is y
    assert torch.equal(loss, expected)


@pytest.mark.parametrize("wrap", [lambda o: o, lambda o: (o, "state"), lambda o: {"loss": o}])
def test_without_a_loss_function_the_model_returns_its_loss(wrap: Any) -> None:
    model = lambda inputs, target: wrap(mse(linear(inputs), target))  # noqa: E731
    assert torch.equal(outputs_and_loss(model, None, (x, y))[2], expected)


def test_the_loss_may_be_an_attribute_of_the_output() -> None:
    class Output:
        loss = expected

    assert outputs_and_loss(lambda **_: Output(), None, {"x": x, "labels": y})[2] is expected


def test_a_mapping_goes_to_the_model_with_its_labels_where_the_model_makes_the_loss() -> None:
    assert torch.equal(outputs_and_loss(Keyword(), None, {"x": x, "labels": y})[2], expected)


def test_a_single_tensor_is_reconstructed() -> None:
    square = nn.Linear(3, 3)
    for batch in (x, [x]):
        assert torch.equal(outputs_and_loss(square, mse, batch)[2], mse(square(x), x))


def test_a_loss_of_the_output_alone_needs_no_target() -> None:
    assert torch.equal(outputs_and_loss(linear, lambda o: o.mean(), x)[2], linear(x).mean())


@pytest.mark.parametrize("batch", [7, "text", None, object(), (), (x,), x, {"x": x}])
def test_a_batch_that_is_none_of_these_says_what_is_expected(batch: Any) -> None:
    with pytest.raises(
        TypeError, match=r"a batch is an? .*expected a pair \(input, target\).*step="
    ):
        outputs_and_loss(Keyword() if isinstance(batch, dict) else linear, mse, batch)


def test_a_model_that_returns_no_loss_is_told_so() -> None:
    with pytest.raises(TypeError, match="loss_fn is None, so the model must return its loss"):
        outputs_and_loss(lambda a, b: {"logits": a}, None, (x, y))


def test_a_signature_is_read_once_and_keeps_no_model_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    class NeedsLabels(nn.Module):
        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return linear(x) + 0 * labels

    read: list[Any] = []
    signature = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda f: read.append(f) or signature(f))
    model = NeedsLabels()
    for _ in range(3):
        assert torch.equal(outputs_and_loss(model, mse, {"x": x, "labels": y})[2], expected)
    assert len(read) == 1
    read.clear()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_two_models_of_one_class_with_a_forward_of_their_own_are_told_apart() -> None:
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    first.forward = lambda x, labels: linear(x) + 0 * labels  # type: ignore[assignment]
    second.forward = lambda x: linear(x)  # type: ignore[assignment]
    for model in (first, second, first):
        assert torch.equal(outputs_and_loss(model, mse, {"x": x, "labels": y})[2], expected)


def test_a_model_that_returns_its_outputs_before_its_loss_is_told_where_the_loss_is() -> None:
    step = r"its item 1 is a scalar: .*step=lambda batch: model\(\*batch\)\[1\]"
    with pytest.raises(TypeError, match=step):
        outputs_and_loss(lambda a, b: (linear(a), mse(linear(a), b)), None, (x, y))
    with pytest.raises(TypeError, match=r"none of its items is a scalar.*loss_fn\(model\("):
        outputs_and_loss(lambda a, b: (linear(a), b), None, (x, y))


@pytest.mark.parametrize(
    ("loss_fn", "step"),
    [
        (mse, "loss_fn(model(batch[0], batch[1]), batch[1])"),
        (lambda scores: scores.mean(), "loss_fn(model(batch[0], batch[1])))"),
    ],
)
def test_a_model_of_two_inputs_that_gets_one_is_shown_the_step(loss_fn: Any, step: str) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument") as caught:
        outputs_and_loss(TwoInputs(), loss_fn, (x, x))
    assert step in caught.value.__notes__[0]


FRAMES, TEXTS = torch.randn(12, 4, 8), torch.randint(1, 5, (4, 5))
LENGTHS = (torch.full((4,), 12), torch.full((4,), 5))


@pytest.mark.parametrize(
    "batch",
    [
        (FRAMES, TEXTS, *LENGTHS),
        (FRAMES, (TEXTS, *LENGTHS)),
        dict(zip(("x", "labels", "frames", "letters"), (FRAMES, TEXTS, *LENGTHS), strict=True)),
    ],
    ids=["in a row", "together", "by name"],
)
def test_the_suggested_step_gives_a_loss_all_that_it_needs(batch: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 5), nn.LogSoftmax(-1))
    loss_fn = nn.CTCLoss()
    with pytest.raises(TypeError) as refused:
        outputs_and_loss(model, loss_fn, batch)
    words = " ".join([str(refused.value), *getattr(refused.value, "__notes__", [])])
    step = words[words.rindex("step=lambda batch: ") + len("step=") :].removesuffix(")")
    loss = eval(step, {"model": model, "loss_fn": loss_fn})(batch)
    assert torch.equal(loss, loss_fn(model(FRAMES), TEXTS, *LENGTHS))
