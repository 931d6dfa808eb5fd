"""`refine` with what people hand in: losses of any size, other tasks' records, odd models."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    Sampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from lrwidget.curve.search import choose
from lrwidget.records.refinement import Refinement
from lrwidget.records.table import StopReason
from tests.tasks import blobs, network, problem


@pytest.mark.parametrize("size", [1.0, 1e5])
@pytest.mark.parametrize("shift", [0.0, -1e7])
def test_a_loss_that_is_large_from_the_beginning_has_not_diverged(
    size: float, shift: float
) -> None:
    x, labels = blobs().tensors
    model = nn.Linear(8, 1)
    loader = DataLoader(TensorDataset(x, size * labels[:, None].float()), 32)
    task = TrainingTask(
        model,
        torch.optim.SGD(model.parameters(), 1e-3),
        lambda output, target: nn.functional.mse_loss(output, target) + shift,
        loader,
    )
    records = LRRecords()
    for step in range(20):
        records.append(1e-4 * 10 ** (step / 10), float(step))
    result = refine(task, records, 500)
    assert set(result.summary.stop_reason[:2]) == {"finished"}
    assert result.lr is not None


class LossInTraining(nn.Module):
    """As torchvision's detectors: losses in train mode, predictions in eval mode."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.inner = network()
        self.named = named

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        output = self.inner(x)
        if self.training:
            loss = nn.functional.cross_entropy(output, y)
            return {"loss_class": loss} if self.named else loss
        return [{"scores": output}] if self.named else output


@pytest.mark.parametrize("named", [True, False])
def test_a_model_without_a_loss_in_eval_mode_is_told_how_to_be_judged(named: bool) -> None:
    model = LossInTraining(named)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(blobs(), 32)
    with pytest.raises((TypeError, ValueError), match=r"the loss|its loss") as raised:
        refine(TrainingTask(model, optimizer, None, loader), LRRecords())
    told = "".join(raised.value.__notes__)
    assert "eval mode" in told
    assert "evaluate(batch) -> loss" in told

    def evaluate(batch: Any) -> torch.Tensor:
        model.train()
        given = model(*batch)
        return given["loss_class"] if named else given

    task = TrainingTask(model, optimizer, None, loader, evaluate=evaluate, snapshot="device")
    assert refine(task, LRRecords(), 300).lr is not None


def test_batches_that_must_be_whole_are_told_of() -> None:
    class Pairs(Sampler[Any]):
        def __iter__(self) -> Any:
            return iter([[i, i + 1] for i in range(0, 256, 2)])

        def __len__(self) -> int:
            return 128

    def of_pairs(output: torch.Tensor, _: Any) -> torch.Tensor:
        return (output.view(-1, 2, 4).diff(dim=1)).square().mean()

    model, optimizer, _, _ = problem()
    task = TrainingTask(model, optimizer, of_pairs, DataLoader(blobs(), batch_sampler=Pairs()))
    with pytest.raises(RuntimeError) as raised:
        refine(task, LRRecords(), 400, held_out=range(50, 61, 2))
    assert "batches of Pairs are smaller; where they must be whole" in raised.value.__notes__[-1]


@pytest.mark.parametrize("of_what", ["loss", "collate_fn"])
def test_a_size_that_batches_must_have_is_told_of(of_what: str) -> None:
    whole = DataLoader(blobs(), batch_size=64, shuffle=True)

    def collate(samples: Any) -> Any:
        if len(samples) % 2:
            raise ValueError("odd")
        return default_collate(samples)

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if output.requires_grad and len(output) < 64:
            raise ValueError("small")
        return nn.functional.cross_entropy(output, target)

    model, optimizer, loss, _ = problem()
    if of_what == "loss":
        task = TrainingTask(model, optimizer, loss_fn, whole)
    else:
        whole = DataLoader(whole.dataset, 64, collate_fn=collate)
        task = TrainingTask(model, optimizer, loss, whole)
    with pytest.raises(ValueError, match=r"small|odd") as raised:
        refine(task, LRRecords(), 400, held_out=range(51))
    words = " ".join(raised.value.__notes__)
    assert "smaller" in words
    assert "where they must be whole, give val_data" in words


def test_derivatives_within_a_model_are_told_how_to_be_judged() -> None:
    class Slopes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.potential = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.requires_grad_()
            (slope,) = torch.autograd.grad(self.potential(x).square().sum(), x, create_graph=True)
            return slope

    model = Slopes()
    x = torch.randn(64, 4)
    task = TrainingTask(model, torch.optim.SGD(model.parameters()), nn.MSELoss(), (x, x))
    with pytest.raises(RuntimeError) as raised:
        refine(task, LRRecords(), 400)
    assert "put `with torch.enable_grad():` around that" in " ".join(raised.value.__notes__)
    forward = torch.enable_grad()(Slopes.forward)
    model.forward = lambda x: forward(model, x)
    assert refine(task, LRRecords(), 300).lr


@pytest.mark.parametrize("bad", [None, {"accuracy": 0.5}, "0.5"])
def test_an_evaluate_without_a_loss_is_named(bad: Any) -> None:
    task = TrainingTask(*problem(), evaluate=lambda _: bad)
    with pytest.raises(TypeError, match="return the loss of the batch from evaluate"):
        refine(task, LRRecords())


@pytest.mark.parametrize("planned", [np.int64(500), np.uint8(200), torch.tensor(7).item()])
def test_planned_steps_of_any_whole_type_can_be_saved(planned: Any, tmp_path: Any) -> None:
    records = lr_find(*problem(), steps=40, progress=False)
    result = refine(TrainingTask(*problem()), records, 300, planned_steps=planned)
    records.save(tmp_path / "sweep.jsonl")
    kept = LRRecords.load(tmp_path / "sweep.jsonl").refinement
    assert kept is not None
    assert kept.planned_steps == result.planned_steps == int(planned)


def test_records_that_are_not_of_this_task_are_refused() -> None:
    records = lr_find(*problem(), steps=40, progress=False)
    task = TrainingTask(*problem())
    for bad in (records.frame, records.suggestion, [1, 2], "sweep.jsonl"):
        with pytest.raises(TypeError, match=f"records is a {type(bad).__name__}; .*LRRecords"):
            refine(task, bad)  # type: ignore[arg-type]
    others = TrainingTask(*problem(torch.optim.Adam))
    with pytest.raises(ValueError, match=r"torch\.optim\.SGD, .* torch\.optim\.Adam"):
        refine(others, records)


def test_the_seed_of_the_sweep_is_that_of_the_trials() -> None:
    results = []
    for own in (1, 2):
        torch.manual_seed(own)
        before = torch.get_rng_state()
        records = lr_find(*problem(), refine=True, seed=3, steps=40, progress=False)
        assert torch.equal(before, torch.get_rng_state())
        results.append(records.refinement.as_json())  # type: ignore[union-attr]
    assert results[0] == results[1]
    assert (
        lr_find(*problem(), refine=True, seed=4, steps=40, progress=False).refinement.frame.loss[0]
        != (results[0]["trials"][0]["loss"][0])
    )


def test_a_held_out_loss_that_is_no_number_is_not_called_divergence() -> None:
    loss_fn = nn.CrossEntropyLoss()
    model, optimizer, _, loader = problem()
    task = TrainingTask(
        model,
        optimizer,
        lambda output, y: loss_fn(output, y) * (1 if torch.is_grad_enabled() else math.nan),
        loader,
    )
    result = refine(task, LRRecords(), 400)
    assert (result.lr, result.confidence) == (None, "low")
    assert "the loss on the held-out data was no finite number" in result.reason
    assert "diverged" not in result.reason
    assert set(result.summary.stop_reason) == {"non-finite"}
    # Three rates have shown that it is the data, and the rest of the budget is not spent.
    assert len(result.trials) == 3
    assert result.stop_reason == "finished"


def test_equal_losses_beside_the_best_rate_lower_the_confidence() -> None:
    scores = {1e-3: 0.5, 1e-2: 0.5, 1e-1: 0.7}
    assert choose(scores, 1e-2, 2.0, 100, None).tied
    assert not choose({**scores, 1e-3: 0.6}, 1e-2, 2.0, 100, None).tied

    def errors(batch: Any) -> int:
        return int((model(batch[0]).argmax(1) != batch[1]).sum())

    model, optimizer, loss_fn, loader = problem()
    result = refine(
        TrainingTask(model, optimizer, loss_fn, loader, evaluate=errors, snapshot="device"),
        LRRecords(),
        500,
    )
    least = result.summary.held_out_loss.min()
    assert (result.summary.held_out_loss == least).sum() > 1
    assert result.confidence == "low"
    assert "no better than beside it" in result.reason


def test_a_search_that_is_stopped_at_once_says_so() -> None:
    result = Refinement(0.1, 0.1)
    result.stop_reason = StopReason.STOPPED
    assert result.reason.startswith("stopped before two rates could be compared")


def test_the_arguments_of_lr_find_in_their_places_are_told_their_names() -> None:
    model, optimizer, loss_fn, loader = problem()
    for given in (optimizer, torch.optim.Adam):
        with pytest.raises(TypeError, match=r"by name here: refine\(model, optimizer=\.\.\., "):
            refine(model, given, loss_fn, loader)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"by name here: check_lrs\(model, lrs, optimizer="):
            check_lrs(model, given, loss_fn)  # type: ignore[arg-type]


class FromTheBeginning:
    """Batches of one's own: `__iter__` begins a pass, `__next__` gives a batch."""

    def __init__(self) -> None:
        self.batches = list(DataLoader(blobs(), 32))
        self.place = 0

    def __iter__(self) -> "FromTheBeginning":
        self.place = 0
        return self

    def __next__(self) -> Any:
        if self.place == len(self.batches):
            raise StopIteration
        self.place += 1
        return self.batches[self.place - 1]


def test_an_iterator_that_begins_again_is_as_the_list_of_its_batches() -> None:
    results = []
    for data in (FromTheBeginning(), list(DataLoader(blobs(), 32))):
        model, optimizer, loss_fn, _ = problem()
        task = TrainingTask(model, optimizer, loss_fn, data)
        results.append(refine(task, LRRecords(), 400))
    assert [trial.held_out for trial in results[0].trials] == [
        trial.held_out for trial in results[1].trials
    ]
    model, optimizer, loss_fn, loader = problem()
    for once in (iter(loader), (batch for batch in loader), zip(loader, loader, strict=True)):
        with pytest.raises(ValueError, match="read only once"):
            refine(TrainingTask(model, optimizer, loss_fn, once), LRRecords())


def test_data_that_gives_the_same_iterator_again_is_refused_in_words() -> None:
    class Once:
        def __init__(self) -> None:
            self.batches = iter(DataLoader(blobs(), 32))

        def __iter__(self) -> Any:
            return self.batches

    model, optimizer, loss_fn, _ = problem()
    with pytest.raises(ValueError, match=r"no batch is left .* read only once"):
        refine(TrainingTask(model, optimizer, loss_fn, Once()), LRRecords())


@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("context", ["autocast", "inference_mode", "no_grad"])
def test_within_a_block_of_the_user_it_trains_as_outside(context: str, snapshot: Any) -> None:
    task = TrainingTask(*problem(), snapshot=snapshot)
    made: dict[str, Any] = {
        "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        "inference_mode": torch.inference_mode,
        "no_grad": torch.no_grad,
    }
    modes = torch.is_autocast_cache_enabled(), torch.is_inference_mode_enabled()
    with made[context]():
        within = torch.is_autocast_cache_enabled(), torch.is_inference_mode_enabled()
        records = lr_find(task, progress=False)
        result = refine(task, records, 400)
        checked = check_lrs(task, [1e-6, 0.1], 20)
        assert (torch.is_autocast_cache_enabled(), torch.is_inference_mode_enabled()) == within
    assert (torch.is_autocast_cache_enabled(), torch.is_inference_mode_enabled()) == modes
    assert records.loss.min() < 1
    assert result.summary.held_out_loss.min() < result.untrained / 2
    assert checked.best == 0.1


@pytest.mark.parametrize(
    ("held_out", "few"),
    [
        ([3], "judged by 1 sample only"),
        ([3, 8], "judged by 2 samples only"),
        (range(99), "judged by 99 samples only"),
        (range(100), ""),
    ],
)
def test_a_rate_that_few_samples_judged_is_of_low_confidence(held_out: Any, few: str) -> None:
    task = TrainingTask(*problem())
    result = refine(task, LRRecords(), 900, held_out=held_out)
    assert few in result.reason
    assert ("judged by" in result.reason) == bool(few)
    again = Refinement.from_json(result.as_json())
    assert again.confidence == result.confidence
    assert result.confidence == "low" or not few
    assert again.reason == result.reason


def test_a_result_from_before_its_samples_were_counted_is_read() -> None:
    saved = refine(TrainingTask(*problem()), LRRecords(), 900, held_out=range(100)).as_json()
    del saved["held_out_samples"]
    assert Refinement.from_json(saved).confidence == saved["confidence"]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return zip(*blobs(), strict=True)


ROWS = TensorDataset(torch.randn(20, 2), torch.arange(20) % 2)
LACKING: dict[str, tuple[Any, list[int], str]] = {
    "drawn by weight": (DataLoader(ROWS, 4, sampler=WeightedRandomSampler([1.0] * 20, 20)),
                        [3, 20], "index 20, which"),
    "one by one": (DataLoader([next(iter(DataLoader(ROWS, 4)))] * 6, batch_size=None),
                   [6], "index 6, which"),
    "of a stream": (DataLoader(Stream(), 4), [-1], "batch -1; they are counted from 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", LACKING)
def test_indices_that_the_data_lacks_are_refused_before_the_sweep(name: str) -> None:
    data, held_out, words = LACKING[name]
    model = nn.Linear(2, 2)
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match=words) as refused:
        lr_find(
            *(model, sgd, nn.CrossEntropyLoss(), data),
            refine=True,
            held_out=held_out,
            progress=False,
        )
    assert not hasattr(refused.value, "records")
