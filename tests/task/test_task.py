"""The training task: its arguments and their errors."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget import TrainingTask, lr_find
from lrwidget.arguments import task_and_options
from tests.tasks import blobs, network, problem

MEND = "expected"


def test_four_arguments_make_a_task_and_options() -> None:
    model, optimizer, loss_fn, loader = problem()
    task, options = task_and_options(model, optimizer, loss_fn, loader, steps=7, accumulate=2)
    assert (task.model, task.optimizer, task.loss_fn, task.data) == (
        model,
        optimizer,
        loss_fn,
        loader,
    )
    assert (options.steps, task.accumulate, task.batch_size) == (7, 2, 32)


def test_a_task_carries_everything() -> None:
    task = TrainingTask(*problem())
    assert task_and_options(task, steps=5)[0] is task
    with pytest.raises(TypeError, match="optimizer, accumulate beside a TrainingTask"):
        task_and_options(task, task.optimizer, accumulate=2)


def test_an_unknown_keyword_is_a_type_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"unknown option 'num_iter'.*steps"):
        task_and_options(*problem(), num_iter=100)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("num_iter", "steps"),
        ("num_training", "steps"),
        ("min_lr", "start_lr"),
        ("stop_div", "stop_at_divergence"),
        ("criterion", "loss_fn"),
        ("train_dataloader", "data"),
        ("clip_gradnorm", "clip_grad_norm"),
        ("stepz", "steps"),
    ],
)
def test_an_unknown_keyword_is_told_what_it_is_called_here(given: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"unknown option '{given}'; did you mean {meant}=\\?"):
        task_and_options(*problem(), **{given: 1})


def test_each_of_several_unknown_keywords_is_told_what_it_is_called_here() -> None:
    with pytest.raises(TypeError, match=r"for min_lr= did you mean start_lr=\? for max_lr= did"):
        task_and_options(*problem(), min_lr=1e-5, max_lr=1)


def test_a_model_without_values_is_refused() -> None:
    model = nn.Linear(4, 3, device="meta")
    with pytest.raises(ValueError, match=r"model is on the device 'meta'.*load them"):
        TrainingTask(model, torch.optim.SGD, nn.CrossEntropyLoss(), [torch.zeros(8, 4)])


@pytest.mark.parametrize("bad", [None, "model", lambda x: x])
def test_a_model_that_is_no_module_is_refused(bad: object) -> None:
    _, optimizer, loss_fn, loader = problem()
    with pytest.raises(TypeError, match=MEND):
        task_and_options(bad, optimizer, loss_fn, loader)


def test_a_missing_optimizer_or_data_is_named() -> None:
    model, optimizer, loss_fn, _ = problem()
    with pytest.raises(TypeError, match="optimizer is missing"):
        task_and_options(model, None, loss_fn, blobs())
    with pytest.raises(TypeError, match="data is missing"):
        task_and_options(model, optimizer, loss_fn)


def test_an_optimizer_class_is_called_with_the_trainable_parameters_and_the_start() -> None:
    model = network()
    model[0].requires_grad_(False)
    task, _ = task_and_options(
        model, torch.optim.Adam, nn.CrossEntropyLoss(), blobs(), start_lr=2e-6
    )
    (group,) = task.optimizer.param_groups
    assert group["lr"] == 2e-6
    assert [id(p) for p in group["params"]] == [id(p) for p in model[2].parameters()]


def test_a_factory_without_a_rate_is_called_with_the_parameters_alone() -> None:
    made = task_and_options(
        network(),
        lambda parameters: torch.optim.SGD(parameters, lr=0.5),
        nn.CrossEntropyLoss(),
        blobs(),
    )[0].optimizer
    assert made.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "factory", [lambda: None, lambda parameters, momentum: None, lambda *, parameters: None]
)
def test_a_factory_that_takes_other_arguments_is_told_so(factory: object) -> None:
    model, _, *rest = problem()
    for make in (task_and_options, TrainingTask):
        with pytest.raises(TypeError, match=r"optimizer is a function .*lambda parameters: torch"):
            make(model, factory, *rest)


def test_an_optimizer_over_other_parameters_is_refused() -> None:
    model, _, loss_fn, loader = problem()
    stranger = torch.optim.SGD(network().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="none of them the model's; make it from"):
        TrainingTask(model, stranger, loss_fn, loader)


def test_a_model_without_trainable_parameters_is_refused() -> None:
    model, optimizer, loss_fn, loader = problem()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        TrainingTask(model, optimizer, loss_fn, loader)


def test_a_model_whose_layers_are_in_a_plain_list_is_told_of_module_lists() -> None:
    model = nn.Module()
    model.layers = [nn.Linear(8, 4)]  # type: ignore[assignment]
    for without in (model, nn.ReLU()):
        with pytest.raises(ValueError, match=r"has no parameter; .* in an nn\.ModuleList"):
            TrainingTask(without, torch.optim.SGD, *problem()[2:])


def test_a_frozen_optimizer_is_refused() -> None:
    model, _, loss_fn, loader = problem()
    model[0].requires_grad_(False)
    with pytest.raises(ValueError, match="all with requires_grad = False"):
        TrainingTask(model, torch.optim.SGD(model[0].parameters(), lr=1.0), loss_fn, loader)


def test_an_empty_loader_is_refused_at_once() -> None:
    model, optimizer, loss_fn, _ = problem()
    for empty in ([], DataLoader(blobs(3), batch_size=8, drop_last=True)):
        with pytest.raises(ValueError, match="without a single batch"):
            TrainingTask(model, optimizer, loss_fn, empty)


def test_an_iterator_that_was_read_to_its_end_is_named_as_what_it_is() -> None:
    model, optimizer, loss_fn, loader = problem()
    read = (batch for batch in loader)
    assert list(read)
    with pytest.raises(ValueError, match=r"data is a generator without .*earlier sweep"):
        lr_find(model, optimizer, loss_fn, read, progress=False)


@pytest.mark.parametrize("bad", [5, "batches", {"x": 1}, torch.zeros(3)])
def test_data_that_is_not_batches_is_refused(bad: object) -> None:
    model, optimizer, loss_fn, _ = problem()
    with pytest.raises(TypeError, match=r"data is an? .*expected a DataLoader"):
        TrainingTask(model, optimizer, loss_fn, bad)


def test_a_data_set_gets_a_shuffling_loader() -> None:
    model, optimizer, loss_fn, _ = problem()
    task = TrainingTask(
        model, optimizer, loss_fn, blobs(), batch_size=8, loader_options={"drop_last": True}
    )
    assert isinstance(task.data, DataLoader)
    assert isinstance(task.data.sampler, torch.utils.data.RandomSampler)
    assert (task.data.batch_size, task.data.drop_last) == (8, True)


def test_loader_options_need_a_data_set() -> None:
    with pytest.raises(TypeError, match=r"loader_options.*need a Dataset"):
        TrainingTask(*problem(), loader_options={"num_workers": 1})


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("accumulate", 0, ValueError),
        ("accumulate", 1.5, TypeError),
        ("clip_grad_norm", 0.0, ValueError),
        ("clip_grad_norm", -1.0, ValueError),
        ("clip_grad_norm", float("nan"), ValueError),
        ("clip_grad_norm", "1", TypeError),
        ("clip_grad_norm", [1.0], TypeError),
        ("scaler", True, TypeError),
        ("loader_options", 2, TypeError),
        ("device", "gpu", ValueError),
        ("device", 1.5, ValueError),
        ("device", "cuda:100", ValueError),
        ("autocast", "bf16", TypeError),
        ("autocast", torch.int64, TypeError),
        ("others", "ignore", ValueError),
        ("snapshot", "gpu", ValueError),
        ("val_batches", 0, ValueError),
        ("val_every", 0, ValueError),
        ("metric", 3, TypeError),
        ("batch_size", 0, ValueError),
        ("batch_size", 10**30, ValueError),
    ],
)
def test_an_option_out_of_its_range_is_named(
    option: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=option):
        TrainingTask(*problem(), **{option: value})


def test_a_device_that_is_not_here_is_told_in_a_sentence_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="device is 'xla', which cannot be used here") as caught:
        TrainingTask(*problem(), device="xla")  # for which torch lists all that it has instead
    assert str(caught.value).endswith(". Leave it out to sweep where the model is")
    assert "\n" not in str(caught.value)


def test_a_metric_needs_validation_data() -> None:
    with pytest.raises(ValueError, match="give val_data too"):
        TrainingTask(*problem(), metric=lambda output, target: 0.0)


def test_apply_keeps_the_ratios_of_the_groups() -> None:
    model, _, loss_fn, loader = problem()
    optimizer = torch.optim.SGD(
        [
            {"params": model[0].parameters(), "lr": torch.tensor(0.1)},
            {"params": model[2].parameters(), "lr": 0.4},
        ],
        lr=1.0,
    )
    held = optimizer.param_groups[0]["lr"]
    TrainingTask(model, optimizer, loss_fn, loader).apply(0.01)
    assert optimizer.param_groups[0]["lr"] is held
    assert float(held) == pytest.approx(0.01)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.04)


def test_apply_needs_an_optimizer_where_the_task_made_its_own() -> None:
    model, mine, loss_fn, loader = problem()
    task = TrainingTask(model, torch.optim.SGD, loss_fn, loader)
    with pytest.raises(ValueError, match="give the optimizer that you train with"):
        task.apply(0.5)
    task.apply(0.5, mine)
    assert mine.param_groups[0]["lr"] == 0.5


def test_apply_takes_a_rate_and_an_optimizer() -> None:
    model, optimizer, loss_fn, loader = problem()
    task = TrainingTask(model, optimizer, loss_fn, loader)
    for bad in (None, "0.1", 0, -0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="expected a positive, finite learning rate"):
            task.apply(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a Sequential; expected a torch\.optim\.Opt"):
        task.apply(0.5, model)  # type: ignore[arg-type]
    assert optimizer.param_groups[0]["lr"] == 0.1
    task.apply(torch.tensor(0.5))  # type: ignore[arg-type]
    assert type(optimizer.param_groups[0]["lr"]) is float


def test_the_swept_optimizer_is_none_of_the_others() -> None:
    model, optimizer, loss_fn, loader = problem()
    with pytest.raises(ValueError, match="would step twice"):
        TrainingTask(model, optimizer, loss_fn, loader, other_optimizers=[optimizer])


def test_a_first_group_without_a_rate_is_refused() -> None:
    model, _, loss_fn, loader = problem()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    with pytest.raises(ValueError, match="first param group has lr 0"):
        TrainingTask(model, torch.optim.SGD(groups, lr=0.1), loss_fn, loader)
