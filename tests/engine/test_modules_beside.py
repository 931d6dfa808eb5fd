"""Modules that are trained beside the model are judged in eval mode, as the model is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, lr_find, refine
from tests.tasks import problem

ce = nn.CrossEntropyLoss()
# For each call of a decoder: with gradients, its own mode, and that of its dropout.
SEEN: list[tuple[bool, bool, bool]] = []


class Decoder(nn.Module):
    """Notes in which mode it, and its dropout, is called."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(16, 4)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        SEEN.append((torch.is_grad_enabled(), self.training, self.dropout.training))
        return self.head(self.dropout(code))


class DecodingLoss(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, code: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ce(self.decoder(code), target)


class Loop:
    """Has the step of a loop of one's own as a method."""

    def __init__(self, encoder: nn.Module, decoder: Decoder, optimizer: Any) -> None:
        self.parts = {"encoder": encoder, "decoder": decoder}
        self.optimizer = optimizer

    def loss(self, batch: Any) -> torch.Tensor:
        return ce(self.parts["decoder"](self.parts["encoder"](batch[0])), batch[1])

    def step(self, batch: Any) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss


def of_step(*parts: Any) -> dict[str, Any]:
    encoder, decoder, _ = parts
    return {"step": lambda batch: ce(decoder(encoder(batch[0])), batch[1])}


def of_loop(*parts: Any) -> dict[str, Any]:
    loop = Loop(*parts)
    return {"step": loop.step, "evaluate": loop.loss}


def of_function(_: Any, decoder: Decoder, __: Any) -> dict[str, Any]:
    return {"loss_fn": lambda code, target: ce(decoder(code), target)}


def of_module(_: Any, decoder: Decoder, __: Any) -> dict[str, Any]:
    return {"loss_fn": DecodingLoss(decoder)}


@pytest.fixture
def decoder() -> Decoder:
    SEEN.clear()
    return Decoder()


def task(decoder: Decoder, make: Callable[..., dict[str, Any]], **more: Any) -> TrainingTask:
    encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)
    given = make(encoder, decoder, optimizer)
    return TrainingTask(encoder, optimizer, data=problem()[3], **given, **more)


FORMS = pytest.mark.parametrize("make", [of_step, of_loop, of_function, of_module])


@FORMS
def test_trials_are_judged_with_them_in_eval_mode(decoder: Decoder, make: Any) -> None:
    refine(task(decoder, make), LRRecords(), budget=180)
    assert set(SEEN) == {(True, True, True), (False, False, False)}
    assert decoder.training
    assert decoder.dropout.training


@FORMS
def test_validation_data_of_a_sweep_too_and_modes_stay_as_they_were(
    decoder: Decoder, make: Any
) -> None:
    decoder.dropout.eval()
    given = task(decoder, make, val_data=problem()[3], val_every=3)
    if given.step is not None and given.evaluate is None:
        given.evaluate = given.step
    lr_find(given, steps=6, progress=False)
    assert set(SEEN) == {(True, True, False), (False, False, False)}
    assert decoder.training
    assert not decoder.dropout.training


def test_an_error_while_judging_leaves_their_modes(decoder: Decoder) -> None:
    given = task(decoder, of_loop)
    given.evaluate = lambda batch: decoder(batch[0]) / 0
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        refine(given, LRRecords(), budget=180)
    assert decoder.training


class Teacher(nn.Sequential):
    """Is not trained; notes in which mode it is called."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> Any:
        SEEN.append((torch.is_grad_enabled(), self.training, self[1].training))
        return super().forward(x)


class Noise(nn.Dropout):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        SEEN.append((torch.is_grad_enabled(), self.training, self.training))
        return super().forward(x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [Teacher, Noise])
def test_a_module_that_is_not_trained_is_judged_in_eval_mode_too(
    kind: type[nn.Module], training: bool
) -> None:
    SEEN.clear()
    beside, model = kind().train(training), nn.Linear(8, 4)
    before = [buffer.clone() for buffer in beside.buffers()]

    def step(batch: Any) -> torch.Tensor:
        return ce(model(batch[0]) + beside(batch[0]).mean(), batch[1])

    refine(TrainingTask(model, torch.optim.SGD, data=problem()[3], step=step), budget=300)
    assert set(SEEN) == {(True, training, training), (False, False, False)}
    assert all(module.training is training for module in beside.modules())
    assert all(map(torch.equal, before, beside.buffers()))


def test_a_step_that_switches_to_training_mode_cannot_measure_held_out_data() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.5))

    def step(batch: Any) -> torch.Tensor:
        model.train()
        return ce(model(batch[0]), batch[1])

    def evaluate(batch: Any) -> torch.Tensor:
        model.eval()
        loss: torch.Tensor = ce(model(batch[0]), batch[1])
        model.train()
        return loss

    data = problem()[3]
    with pytest.raises(ValueError, match=r"step puts the model into training mode.*outside of it"):
        refine(TrainingTask(model, torch.optim.SGD, data=data, step=step), LRRecords(), budget=180)
    given = TrainingTask(model, torch.optim.SGD, data=data, step=step, evaluate=evaluate)
    assert refine(given, LRRecords(), budget=180).trials
