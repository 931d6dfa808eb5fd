"""How each framework moves, casts, schedules, accumulates and frees."""

import gc
import math
import multiprocessing
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import lr_find
from lrwidget.engine.check import check_lrs
from tests.adapters.case import BATCH, FRAMEWORKS, LR, make
from tests.restore.endings import OPTIONS, find
from tests.restore.fingerprint import differences
from tests.restore.plan import BoomError
from tests.widget.finder import until

SHORT: dict[str, Any] = {**OPTIONS, "steps": 4, "progress": False}


def subclass(module: Any, **methods: Any) -> Any:
    """Give the module a subclass of its class with the given methods."""
    module.__class__ = type("Changed", (type(module),), methods)
    return module


# Lightning


def test_true_bfloat16_gives_the_float32_weights_back(folder: Path) -> None:
    case = make("lightning", folder, precision="bf16-true")
    (module,) = case.arguments
    before = case.fingerprint()
    dtypes: set[torch.dtype] = set()
    loss = module.loss
    module.loss = lambda output, y: (dtypes.add(output.dtype), loss(output, y))[1]
    find(case.task())
    module.loss = loss
    assert dtypes == {torch.bfloat16}
    assert differences(before, case.fingerprint()) == []


def test_a_warm_up_neither_sets_the_rate_nor_loses_the_ratios(folder: Path) -> None:
    case = make("lightning", folder)
    (module,) = case.arguments
    made = module.configure_optimizers
    rates: list[list[float]] = []

    def configure_optimizers(self: Any) -> Any:
        optimizer = made()
        warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 100)
        return [optimizer], [{"scheduler": warm, "interval": "step"}]

    def optimizer_step(self: Any, epoch: int, index: int, optimizer: Any, closure: Any) -> None:
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step(closure)

    methods = {"configure_optimizers": configure_optimizers, "optimizer_step": optimizer_step}
    records = find_in(subclass(module, **methods), case)
    assert [first for first, _ in rates] == list(records.lr)
    assert all(second == pytest.approx(2 * first) for first, second in rates)


def find_in(module: Any, case: Any) -> Any:
    return lr_find(module, **case.keywords, **SHORT)


def test_a_part_in_eval_mode_stays_so_in_the_sweep_as_in_fit(folder: Path) -> None:
    case = make("lightning", folder)
    (module,) = case.arguments
    norm = module.net.model[1].eval()
    modes: list[bool] = []
    norm.register_forward_hook(lambda part, *_: modes.append(part.training))
    find_in(module, case)
    assert modes
    assert not any(modes)


def test_estimated_steps_can_be_asked_for(folder: Path) -> None:
    case = make("lightning", folder, max_epochs=3)
    (module,) = case.arguments
    made, seen = module.configure_optimizers, []

    def configure_optimizers(self: Any) -> Any:
        seen.append(self.trainer.estimated_stepping_batches)
        return made()

    before = case.fingerprint()
    module = subclass(module, configure_optimizers=configure_optimizers)
    find_in(module, case)
    assert seen == [6]  # 3 batches, accumulated by 2: 2 steps an epoch
    module.__class__ = type(module).__mro__[1]
    assert differences(before, case.fingerprint()) == []


def test_manual_optimization_with_two_optimizers(folder: Path) -> None:
    case = make("lightning", folder, accumulate_grad_batches=1, gradient_clip_val=None)
    (module,) = case.arguments
    module.automatic_optimization = False
    rates: list[tuple[float, float]] = []

    def configure_optimizers(self: Any) -> Any:
        body, head = self.net.model[0], self.net.model[4]
        return torch.optim.SGD(body.parameters(), lr=0.1), torch.optim.Adam([head.weight], lr=0.2)

    def training_step(self: Any, batch: Any) -> torch.Tensor:
        x, y = batch
        loss = self.loss(self.net(x), y)
        optimizers = self.optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        rates.append(tuple(o.param_groups[0]["lr"] for o in optimizers))
        return loss

    before = case.fingerprint()
    changed = {"configure_optimizers": configure_optimizers, "training_step": training_step}
    records = find_in(subclass(module, **changed), case)
    assert len(records) == 4
    assert rates == [(lr, 0.2) for lr in records.lr]
    module.__class__ = type(module).__mro__[1]
    assert differences(before, case.fingerprint()) == []


def test_a_step_without_a_loss_is_refused_in_words(folder: Path) -> None:
    case = make("lightning", folder)
    module = subclass(case.arguments[0], training_step=lambda self, batch: None)
    with pytest.raises(TypeError, match="training_step returned no loss"):
        find_in(module, case)


def test_a_module_without_a_rate_cannot_be_told_one(folder: Path) -> None:
    case = make("lightning", folder)
    case.arguments[0].hparams.clear()
    with pytest.raises(ValueError, match="neither lr nor learning_rate"):
        case.task().apply(0.1)


def test_an_attribute_takes_the_rate_as_well(folder: Path) -> None:
    case = make("lightning", folder)
    case.arguments[0].lr = 0.5
    case.task().apply(0.125)
    assert case.arguments[0].lr == case.arguments[0].hparams["lr"] == 0.125


def test_tied_weights_keep_their_gradient_and_their_tie(folder: Path) -> None:
    case = make("lightning", folder)
    (module,) = case.arguments
    module.twin = nn.Linear(4, 6)
    module.twin.weight = module.net.model[0].weight
    module.net.model[0].weight.grad = torch.ones(6, 4)
    before = case.fingerprint()
    find(case.task())
    assert differences(before, case.fingerprint()) == []


# transformers


def test_a_trainer_that_has_trained_is_swept_with_its_optimizer(folder: Path) -> None:
    case = make("transformers", folder, save_strategy="no", max_steps=3)
    (trainer,) = case.arguments
    trainer.train()  # its schedule ends at the rate 0
    case.fired.clear()
    raw = trainer.optimizer.optimizer
    assert raw.param_groups[0]["lr"] == 0
    task = case.task()
    before = case.fingerprint(), dict(raw.state), raw.param_groups, raw.state_dict()
    records = find(task)
    assert records.stop_reason == "finished"
    assert differences(before[0], case.fingerprint()) == []
    assert raw.param_groups is before[2]
    assert case.fired == []
    task.apply(0.25)
    assert trainer.args.learning_rate == 0.25
    assert {group["lr"] for group in raw.param_groups} == {0.25}


def test_a_language_model_with_all_that_a_trainer_switches_on(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    from tests.adapters.case import forget_accelerate

    forget_accelerate()
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=20, intermediate_size=32, num_labels=2, **sizes)
    network = BertForSequenceClassification(config)
    items = [{"input_ids": torch.randint(0, 20, (6,)), "labels": i % 2} for i in range(12)]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        use_cpu=True,
        bf16=True,
        neftune_noise_alpha=5.0,
        gradient_checkpointing=True,
        per_device_train_batch_size=4,
        report_to=[],
    )
    trainer = Trainer(network, arguments, train_dataset=items)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    attributes = {name: set(vars(part)) for name, part in network.named_modules()}
    records = lr_find(trainer, **SHORT)
    assert len(records) == 4
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert {name: set(vars(part)) for name, part in network.named_modules()} == attributes
    assert not any(part._forward_hooks for part in network.modules())
    assert not any(getattr(p, "gradient_checkpointing", False) for p in network.modules())


# fastai


def test_mixup_takes_part(folder: Path) -> None:
    from fastai.callback.mixup import MixUp

    case = make("fastai", folder / "a", callbacks=lambda: [MixUp(0.4)])
    records = find(case.task())
    own = make("fastai", folder / "b", callbacks=lambda: [MixUp(0.4)]).train(list(records.lr))
    assert list(records.loss) == own
    plain = find(make("fastai", folder / "c").task())
    assert list(plain.loss) != own


def test_mixup_of_classes_goes_on_in_the_next_pass() -> None:
    from fastai.callback.mixup import MixUp
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat

    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
    samples = [(row, torch.tensor(int(row[0] > 0))) for row in x]
    loaders = DataLoaders(DataLoader(samples, bs=4), DataLoader(samples, bs=4))
    loss = CrossEntropyLossFlat()
    learn = Learner(loaders, torch.nn.Linear(4, 2), loss_func=loss, cbs=MixUp(0.4))
    assert len(lr_find(learn, steps=8, stop_at_divergence=False, progress=False)) == 8
    assert learn.loss_func is loss


def test_a_callback_that_changes_what_is_trained_is_named_in_a_warning(folder: Path) -> None:
    from fastai.callback.core import Callback
    from fastai.callback.training import GradientClip

    def learner(**events: Any) -> Any:
        case = make("fastai", folder, callbacks=lambda: [type("Mine", (Callback,), events)()])
        return case.arguments[0]

    def noise(self: Any) -> None:
        self.learn.xb = tuple(x + torch.randn_like(x) for x in self.xb)

    def scale(self: Any) -> None:
        self.learn.loss_grad, self.learn.seen = self.loss_grad * 2, True

    def note(self: Any) -> None:
        self.learn.seen, self.loss_grad = self.loss, None

    def add(self: Any) -> None:
        self.learn.loss_grad += self.model[0].weight.abs().sum()

    def write(self: Any) -> None:
        self.xb[0].add_(1)

    changes = [{"before_batch": noise}, {"after_loss": scale}, {"before_step": note}]
    for events in (*changes, {"after_loss": add}, {"before_batch": write}):
        with pytest.warns(UserWarning, match="Mine of the Learner takes no part in a sweep"):
            lr_find(learner(**events), **SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr_find(learner(after_loss=note, before_batch=note), **SHORT)
        lr_find(make("fastai", folder, callbacks=lambda: [GradientClip(0.1)]).arguments[0], **SHORT)


def test_a_wrapped_torch_optimizer(folder: Path) -> None:
    from fastai.optimizer import OptimWrapper

    def wrapped(params: Any, **settings: Any) -> Any:
        return OptimWrapper(params, torch.optim.AdamW, **settings)

    case = make("fastai", folder / "a", opt_func=wrapped, lr=LR)
    before = case.fingerprint()
    records = find(case.task())
    assert differences(before, case.fingerprint()) == []
    own = make("fastai", folder / "b", opt_func=wrapped, lr=LR).train(list(records.lr))
    assert list(records.loss) == own


def test_a_learner_that_has_trained_keeps_its_optimizer(folder: Path) -> None:
    case = make("fastai", folder)
    (learn,) = case.arguments
    assert case.rate_of_training() > 0  # trains one epoch
    case.fired.clear()
    before = case.fingerprint(), learn.opt, learn.opt.state_dict()
    moments = [dict(state) for state in before[2]["state"]]
    find(case.task())
    assert learn.opt is before[1]
    for state, held in zip(learn.opt.state_dict()["state"], moments, strict=True):
        assert all(
            torch.equal(state[k], v) if isinstance(v, torch.Tensor) else state[k] == v
            for k, v in held.items()
        )
    assert differences(before[0], case.fingerprint()) == []


@pytest.mark.parametrize("derived", [False, True])
def test_an_exception_leaves_autocast_off(folder: Path, derived: bool) -> None:
    from fastai.callback.fp16 import MixedPrecision

    class OfAnotherName(MixedPrecision):
        pass

    kind = OfAnotherName if derived else MixedPrecision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the device does not exist here
        case = make("fastai", folder, callbacks=lambda: [kind("bf16")])
        case.plan.at("forward", 3, case.plan.fail)
        nested = torch.autocast_increment_nesting()
        torch.autocast_decrement_nesting()
        with pytest.raises(BoomError):
            find(case.task())
        assert torch.autocast_increment_nesting() == nested
        torch.autocast_decrement_nesting()


# skorch


def test_a_net_that_is_not_initialized_stays_so(folder: Path) -> None:
    case = make("skorch", folder, initialized=False)
    before = case.fingerprint()
    records = find(case.task())
    (net,) = case.arguments
    assert not net.initialized_
    assert not hasattr(net, "optimizer_")
    assert differences(before, case.fingerprint()) == []
    assert case.fired == []
    assert list(records.loss) == list(find(make("skorch", folder).task()).loss)
    case.task().apply(0.5)
    assert net.initialize().optimizer_.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_rates_can_be_checked_against_each_other(framework: str, folder: Path) -> None:
    case = make(framework, folder)
    before = case.fingerprint()
    results = check_lrs(case.task(), [1e-4, 1e-3], steps=4)
    assert [len(trial) for trial in results.trials] == [4, 4]
    assert results.trials[0].loss[0] == results.trials[1].loss[0]
    assert differences(before, case.fingerprint()) == []
    assert case.fired == []


def feeders() -> list[str]:
    """Return the threads that feed queues of worker processes."""
    return [t.name for t in threading.enumerate() if t.name == "QueueFeederThread"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_worker_processes_end_with_the_sweep(framework: str, folder: Path) -> None:
    case = make(framework, folder, workers=1)
    task = case.task()
    # A pass is three batches, and each begins new workers.
    find(task, steps=4)  # the first workers open what the process keeps
    gc.collect()
    # The workers and the thread that feeds them end a little later.
    until(lambda: not (multiprocessing.active_children() or feeders()))
    before = case.fingerprint()

    def held_but_files() -> list[str]:
        found = differences(before, case.fingerprint())
        return [what for what in found if not what.startswith("open files")]

    assert find(task, steps=4).stop_reason == "finished"
    case.plan.at("forward", 2, case.plan.fail)
    with pytest.raises(BoomError) as error:
        find(task, steps=4)
    # The pipes of the workers are closed with the exception, whose traceback leads to them; the
    # processes and threads are told to end at once.
    until(lambda: held_but_files() == [])
    error.value.__traceback__ = None
    error = None  # type: ignore[assignment]
    gc.collect()
    assert differences(before, case.fingerprint()) == []


# Accelerate


def test_the_place_in_the_loader_is_kept(folder: Path) -> None:
    case = make("accelerate", folder)
    loader = case.arguments[3]
    reading = iter(loader)
    next(reading)
    before = case.fingerprint()
    find(case.task())
    assert differences(before, case.fingerprint()) == []
    assert [len(x) for x, _ in reading] == [BATCH, 4]


def test_a_step_that_goes_on_across_the_end_of_a_pass(folder: Path) -> None:
    from accelerate.utils import GradientAccumulationPlugin

    # 20 samples are three batches.
    plugin = GradientAccumulationPlugin(num_steps=2, sync_with_dataloader=False)
    given: dict[str, Any] = {"gradient_accumulation_steps": 1}
    given["gradient_accumulation_plugin"] = plugin
    case = make("accelerate", folder, **given)
    records = find(case.task())
    own = make("accelerate", folder, **given).train(list(records.lr))
    assert list(records.loss) == pytest.approx(own, rel=1e-6)


def test_an_optimizer_that_needs_a_closure_is_told_the_step(folder: Path) -> None:
    model, optimizer, loss_fn, loader = make("accelerate", folder).arguments
    optimizer.optimizer = torch.optim.LBFGS(p for p in model.parameters() if p.requires_grad)
    with pytest.raises(ValueError, match="LBFGS needs a closure"):
        lr_find(model, optimizer, loss_fn, loader, **SHORT)


def test_a_loss_of_the_models_own(folder: Path) -> None:
    model, optimizer, loss_fn, loader = make("accelerate", folder).arguments
    inner = model.forward
    model.forward = lambda x, y: {"loss": loss_fn(inner(x), y)}
    assert len(lr_find(model, optimizer, None, loader, **SHORT)) == 4


def test_a_loss_with_parameters_is_put_back(folder: Path) -> None:
    model, optimizer, _, loader = make("accelerate", folder).arguments
    loss = nn.MSELoss()
    loss.weight = nn.Parameter(torch.ones(1))
    loss.forward = lambda out, y: (loss.weight * (out - y) ** 2).mean()
    optimizer.optimizer.add_param_group({"params": [loss.weight], "lr": 0.05})
    lr_find(model, optimizer, loss, loader, **SHORT)
    assert loss.weight.item() == 1.0
    assert loss.weight.grad is None


@pytest.mark.parametrize("norm", [0, -1.0, math.nan, "1"])
def test_a_norm_to_clip_at_that_is_none_is_refused_beside_accelerate(
    norm: Any, folder: Path
) -> None:
    case = make("accelerate", folder)
    given = case.keywords | {"clip_grad_norm": norm}
    with pytest.raises((TypeError, ValueError), match="expected a positive norm, or None"):
        lr_find(*case.arguments, **given, steps=2, progress=False)
