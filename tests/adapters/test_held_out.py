"""What a framework calls its validation loss is what trials are judged by."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lrwidget import LRRecords, check_lrs, lr_find, refine
from tests.adapters.case import forget_accelerate

torch.manual_seed(5)
INPUTS, OTHERS = torch.randn(32, 4), torch.randn(16, 4)


class Pairs(Dataset[Any]):
    def __init__(self, inputs: torch.Tensor) -> None:
        self.inputs, self.targets = inputs, inputs.sum(1, keepdim=True)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        return self.inputs[index], self.targets[index]


class Dicts(Pairs):
    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return {"x": x, "labels": y}


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", 3)


def judged(model: Any, **given: Any) -> Any:
    result = refine(model, LRRecords(), **{"budget": 10, **given})
    assert result.stop_reason == "finished"
    assert all(math.isfinite(loss) for trial in result.trials for loss in trial.held_out.values())
    return result


# -- transformers --------------------------------------------------------------------------------


def trainer(folder: Path, **given: Any) -> Any:
    from transformers import Trainer, TrainingArguments

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
            out = self.net(x)
            loss = None if labels is None else nn.functional.mse_loss(out, labels)
            return {"loss": loss, "logits": out}

    forget_accelerate()
    sizes = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 8}
    arguments = TrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to=[], disable_tqdm=True, **sizes
    )
    return Trainer(Net(), arguments, train_dataset=Dicts(INPUTS), **given)


def test_a_trainer_is_judged_by_its_eval_dataset(folder: Path) -> None:
    one = trainer(folder, eval_dataset=Dicts(OTHERS))
    result = judged(one)
    assert result.held_out == "the first 512 samples at most of eval_dataset"
    assert result.untrained == pytest.approx(one.evaluate()["eval_loss"], rel=1e-6)
    assert one.state.global_step == 0
    records = lr_find(one, refine=True, steps=4, progress=False)
    assert records.refinement is not None
    assert records.refinement.untrained == result.untrained


def test_several_eval_datasets_all_count(folder: Path) -> None:
    two = {"near": Dicts(OTHERS), "far": Dicts(3 * OTHERS)}
    one = trainer(folder, eval_dataset=two)
    found = one.evaluate()
    mean = (found["eval_near_loss"] + found["eval_far_loss"]) / 2
    assert judged(one).untrained == pytest.approx(mean, rel=1e-6)


def test_a_data_set_may_be_given_to_a_trainer(folder: Path) -> None:
    one = trainer(folder)
    assert judged(one).held_out == "10 of 32 samples, chosen at random"
    expected = one.evaluate(Dicts(OTHERS))["eval_loss"]
    assert judged(one, held_out=Dicts(OTHERS)).untrained == pytest.approx(expected, rel=1e-6)


# -- Lightning -----------------------------------------------------------------------------------


def logs_it(self: Any, batch: Any, index: int) -> None:
    self.log("val_loss", self.loss(batch))


def returns_it(self: Any, batch: Any) -> torch.Tensor:
    loss: torch.Tensor = self.loss(batch)
    return loss


def collects_it(self: Any, batch: Any, index: int) -> None:
    self.collected.append(self.loss(batch))


def means_of_collected(self: Any) -> None:
    self.log("val_loss", torch.stack(self.collected).mean())


def starts_to_collect(self: Any) -> None:
    self.collected = []


def module(validates: bool = True, **methods: Any) -> Any:
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def loss(self, batch: Any) -> torch.Tensor:
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.log("loss", 0.0)
            return self.loss(batch)

        def train_dataloader(self) -> Any:
            return DataLoader(Pairs(INPUTS), 8, shuffle=True)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    if validates:
        methods["val_dataloader"] = lambda self: DataLoader(Pairs(OTHERS), 8)
    return type("Module", (Module,), methods)()


LIGHTNING: dict[str, dict[str, Callable[..., Any]]] = {
    "logs": {"validation_step": logs_it},
    "returns": {"validation_step": returns_it},
    "collects": {
        "validation_step": collects_it,
        "on_validation_epoch_start": starts_to_collect,
        "on_validation_epoch_end": means_of_collected,
    },
    "has none": {},
}


@pytest.mark.parametrize("how", LIGHTNING)
def test_a_module_is_judged_by_its_validation_step_however_it_tells_the_loss(how: str) -> None:
    one = module(**LIGHTNING[how])
    result = judged(one)
    assert result.held_out.startswith("the first 512 samples at most of val_dataloader")
    assert result.held_out.endswith("logged val_loss") == (how in ("logs", "collects"))
    one.eval()
    with torch.no_grad():
        expected = [float(one.loss(batch)) for batch in DataLoader(Pairs(OTHERS), 8)]
    assert result.untrained == pytest.approx(sum(expected) / len(expected), rel=1e-6)
    assert not {"log", "collected"} & set(vars(one))


def test_the_loss_is_lightnings_own_figure(folder: Path) -> None:
    import lightning.pytorch as pl

    one = module(validation_step=logs_it)
    quiet = {"logger": False, "enable_progress_bar": False, "default_root_dir": folder}
    own = pl.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)
    (found,) = own.validate(one, verbose=False)
    assert judged(one, trainer=own).untrained == pytest.approx(found["val_loss"], rel=1e-6)


def test_without_val_dataloader_a_share_is_held_out() -> None:
    assert judged(module(validates=False)).held_out == "10 of 32 samples, chosen at random"


def test_a_step_that_optimizes_by_itself_needs_a_validation_step() -> None:
    def training_step(self: Any, batch: Any, index: int) -> torch.Tensor:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss: torch.Tensor = self.loss(batch)
        self.manual_backward(loss)
        optimizer.step()
        return loss

    one = module(training_step=training_step)
    one.automatic_optimization = False
    with pytest.raises(ValueError, match="validation_step"):
        judged(one)
    two = module(training_step=training_step, validation_step=logs_it)
    two.automatic_optimization = False
    judged(two)


def test_a_validation_step_without_a_loss_is_refused_in_words() -> None:
    def logs_another(self: Any, batch: Any, index: int) -> None:
        self.log("accuracy", 1.0)

    def trains_only(self: Any, batch: Any, index: int) -> Any:
        return self.loss(batch) if self.training else None

    one = module(validation_step=logs_another, training_step=trains_only)
    with pytest.raises(ValueError, match=r"logged \['accuracy'\]"):
        judged(one)


def test_a_combination_of_loaders_needs_validation_data() -> None:
    def both(self: Any) -> Any:
        return {"a": DataLoader(Pairs(INPUTS), 8), "b": DataLoader(Pairs(OTHERS), 8)}

    def training_step(self: Any, batch: Any, index: int) -> torch.Tensor:
        loss: torch.Tensor = self.loss(batch["a"]) + self.loss(batch["b"])
        return loss

    methods = {"train_dataloader": both, "training_step": training_step}
    judged(module(**methods, validation_step=logs_it))
    with pytest.raises((TypeError, ValueError), match=r"a CombinedLoader, .*validation data"):
        judged(module(validates=False, **methods))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([Pairs(INPUTS)[i] for i in range(32)])


def test_of_a_stream_whole_batches_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", 8)
    seen: list[float] = []

    def training_step(self: Any, batch: Any, index: int) -> torch.Tensor:
        if self.training:
            seen.extend(batch[0][:, 0].tolist())
        return self.loss(batch)  # type: ignore[no-any-return]

    def stream(self: Any) -> Any:
        return DataLoader(Stream(), 4)

    one = module(validates=False, train_dataloader=stream, training_step=training_step)
    result = judged(one, budget=24)
    assert "every 5th batch" in result.held_out
    assert set(seen) == set(INPUTS[:, 0].tolist()) - set(INPUTS[16:20, 0].tolist())


# -- fastai --------------------------------------------------------------------------------------


def learner(folder: Path, *loaders: Any) -> Any:
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    return Learner(DataLoaders(*loaders, path=folder), network(), loss_func=nn.MSELoss())


def test_a_learner_is_judged_by_its_validation_data(folder: Path) -> None:
    import fastai.callback.progress  # noqa: F401 - adds no_bar
    from fastai.data.load import DataLoader as Loader

    one = learner(folder, Loader(Pairs(INPUTS), bs=8, shuffle=True), Loader(Pairs(OTHERS), bs=8))
    result = judged(one)
    assert result.held_out == "the first 512 samples at most of learn.dls.valid"
    with one.no_bar(), one.no_logging():
        expected = one.validate()[0]
    assert result.untrained == pytest.approx(expected, rel=1e-6)
    alone = learner(folder, Loader(Pairs(INPUTS), bs=8, shuffle=True))
    assert judged(alone).held_out == "10 of 32 samples, chosen at random"
    other = judged(alone, held_out=Loader(Pairs(OTHERS), bs=8))
    assert other.untrained == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["torch", "list", "stream"])
def test_the_loaders_of_a_learner_need_not_be_fastais(folder: Path, kind: str) -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter(Pairs(OTHERS))

    batches = DataLoader(Pairs(OTHERS), 8)
    valid = {"torch": batches, "list": list(batches), "stream": DataLoader(Stream(), 8)}[kind]
    one = learner(folder, DataLoader(Pairs(INPUTS), 8, shuffle=True), valid)
    assert len(lr_find(one, steps=10, progress=False)) == 10
    result = judged(one)
    assert result.held_out == "the first 512 samples at most of learn.dls.valid"
    with torch.no_grad():
        whole = Pairs(OTHERS)
        one.model.eval()
        expected = nn.MSELoss()(one.model(whole.inputs), whole.targets).item()
    assert result.untrained == pytest.approx(expected, rel=1e-5)
    empty = learner(folder, DataLoader(Pairs(INPUTS), 8, shuffle=True), [])
    assert judged(empty).held_out == "10 of 32 samples, chosen at random"
    ready = learner(folder, list(DataLoader(Pairs(INPUTS), 8)), [])
    with pytest.raises(ValueError, match="nothing can be held out of a list"):
        judged(ready)


# -- skorch --------------------------------------------------------------------------------------


def test_a_net_is_judged_by_its_validation_split() -> None:
    from skorch import NeuralNetRegressor
    from skorch.dataset import ValidSplit

    split = ValidSplit(4)
    net = NeuralNetRegressor(network(), train_split=split, batch_size=4, lr=0.01)
    whole = Pairs(INPUTS)
    x, y = whole.inputs.numpy(), whole.targets.numpy()
    result = judged(net, X=x, y=y)
    assert "validation split" in result.held_out
    net.initialize()
    _, held = net.get_split_datasets(x, y)
    losses = [float(net.validation_step(batch)["loss"]) for batch in net.get_iterator(held)]
    assert result.untrained == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    given = judged(net, X=x, y=y, held_out=(x[:8], y[:8]))
    losses = [
        float(
            net.validation_step((torch.tensor(x[at : at + 4]), torch.tensor(y[at : at + 4])))[
                "loss"
            ]
        )
        for at in (0, 4)
    ]
    assert given.untrained == pytest.approx(sum(losses) / 2, rel=1e-6)
    net.train_split = None
    assert judged(net, X=x, y=y).held_out == "10 of 32 samples, chosen at random"


# -- Accelerate ----------------------------------------------------------------------------------


def test_a_prepared_model_is_judged_by_a_share_or_by_data_that_is_given() -> None:
    from accelerate import Accelerator

    forget_accelerate()
    accelerator = Accelerator(cpu=True)
    model = network()
    given = accelerator.prepare(
        model, torch.optim.SGD(model.parameters(), 0.01), DataLoader(Pairs(INPUTS), 8, shuffle=True)
    )
    parts = {"optimizer": given[1], "loss_fn": nn.MSELoss(), "data": given[2]}
    assert judged(given[0], **parts).held_out == "10 of 32 samples, chosen at random"
    result = judged(given[0], **parts, held_out=DataLoader(Pairs(OTHERS), 8))
    model.eval()
    with torch.no_grad():
        losses = [nn.functional.mse_loss(model(x), y) for x, y in DataLoader(Pairs(OTHERS), 8)]
    assert result.untrained == pytest.approx(float(sum(losses)) / 2, rel=1e-6)


# -- a check -------------------------------------------------------------------------------------


def test_a_check_ranks_by_the_frameworks_validation_loss(folder: Path) -> None:
    results = check_lrs(trainer(folder, eval_dataset=Dicts(OTHERS)), [1e-5, 1e-2], 12)
    assert results.ranked_by == "val_loss"
    assert results.best == results.summary.lr[results.summary.val_loss.idxmin()]
    assert check_lrs(trainer(folder), [1e-5, 1e-2], 3).ranked_by == "final_loss"
    with pytest.raises(TypeError, match="start_lr is an option of a sweep"):
        check_lrs(trainer(folder), [1e-5], start_lr=1)


# -- indices that the data lacks -----------------------------------------------------------------


def named(framework: str, folder: Path) -> dict[str, Any]:
    """Return what `lr_find` is given of a framework, with 32 samples to train on or to split."""
    if framework == "transformers":
        return {"model": trainer(folder)}
    if framework == "lightning":
        return {"model": module(validates=False), "data": DataLoader(Pairs(INPUTS), 8)}
    if framework == "skorch":
        from skorch import NeuralNetRegressor
        from skorch.dataset import ValidSplit

        whole = Pairs(INPUTS)
        net = NeuralNetRegressor(network(), train_split=ValidSplit(4), batch_size=4)
        return {"model": net, "X": whole.inputs.numpy(), "y": whole.targets.numpy()}
    if framework == "fastai":
        from fastai.data.load import DataLoader as Own

        return {"model": learner(folder, Own(Pairs(INPUTS), bs=8, shuffle=True), [])}
    from accelerate import Accelerator

    forget_accelerate()
    model, loader = network(), DataLoader(Pairs(INPUTS), 8, shuffle=True)
    sgd = torch.optim.SGD(model.parameters(), 0.01)
    names = ("model", "optimizer", "data")
    prepared = Accelerator(cpu=True).prepare(model, sgd, loader)
    return {**dict(zip(names, prepared, strict=True)), "loss_fn": nn.MSELoss()}


@pytest.mark.parametrize(
    "framework", ["transformers", "lightning", "skorch", "fastai", "accelerate"]
)
def test_indices_that_the_data_lacks_are_refused_before_the_sweep(
    folder: Path, framework: str
) -> None:
    given = named(framework, folder)
    with pytest.raises(ValueError, match=r"index 32, which .* does not have") as refused:
        lr_find(**given, refine=True, held_out=[3, 32], progress=False)
    assert not hasattr(refused.value, "records")
    result = judged(given.pop("model"), **given, held_out=[3, 31])
    assert result.held_out.startswith("2 named of 32 samples")
