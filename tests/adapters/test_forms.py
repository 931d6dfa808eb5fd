"""The forms in which lr_find and the widget are called, and the errors of other forms."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import LRFinderWidget, lr_find
from lrwidget.adapters.registry import adapt
from tests.adapters.case import FRAMEWORKS, make

SHORT: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 1e-2, "steps": 4, "progress": False}


def loader(seed: int = 0) -> DataLoader[Any]:
    torch.manual_seed(seed)
    x = torch.randn(20, 4)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True).repeat(1, 2)), batch_size=8)


@pytest.fixture(scope="module")
def fresh_process() -> list[str]:
    """Return the output of a new process, which has none of the imports of these tests."""
    code = """
import sys, torch
import lrwidget
from lrwidget import lr_find, LRFinderWidget
x = torch.randn(8, 2)
model = torch.nn.Linear(2, 2)
lr_find(model, torch.optim.SGD, torch.nn.MSELoss(), [(x, x)], steps=3, progress=False)
names = ("lightning", "pytorch_lightning", "transformers", "fastai", "skorch", "accelerate")
loaded = [n for n in sys.modules if n in names or n.startswith("lrwidget.adapters.")]
loaded.remove("lrwidget.adapters.registry")
print(loaded)
import skorch, accelerate
from lrwidget.adapters.registry import adapt
net = skorch.NeuralNetRegressor(torch.nn.Linear(2, 2), train_split=None)
task = adapt(net, torch.zeros(8, 2).numpy(), torch.zeros(8, 2).numpy(), None, {})
print(type(task).__name__, [n for n in sys.modules if n.startswith("lrwidget.adapters.")])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return ran.stdout.splitlines()


def test_importing_and_running_loads_no_framework_and_no_adapter(fresh_process: list[str]) -> None:
    assert fresh_process[0] == "[]"


def test_only_the_adapter_of_the_object_is_loaded(fresh_process: list[str]) -> None:
    name, _, loaded = fresh_process[1].partition(" ")
    assert name == "SkorchTask"
    for framework in set(FRAMEWORKS) - {"skorch"}:
        assert f"lrwidget.adapters.{framework}" not in loaded


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_unknown_keyword_stays_a_type_error(framework: str, folder: Path) -> None:
    case = make(framework, folder)
    for call in (lr_find, LRFinderWidget):
        with pytest.raises(TypeError, match="momentun"):
            call(*case.arguments, **case.keywords, momentun=0.9)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_the_object_carries_is_not_given_twice(framework: str, folder: Path) -> None:
    case = make(framework, folder)
    with pytest.raises(TypeError, match=r"accumulate beside an? .*, which carries"):
        lr_find(*case.arguments, **case.keywords, accumulate=4)


@pytest.mark.parametrize("framework", ["transformers", "fastai"])
def test_an_optimizer_beside_a_trainer_is_refused(framework: str, folder: Path) -> None:
    case = make(framework, folder)
    with pytest.raises(TypeError, match="optimizer, data beside"):
        lr_find(*case.arguments, torch.optim.SGD, None, loader())


@pytest.mark.parametrize("thing", [3, "model", {"a": 1}, [nn.Linear(2, 2)]])
def test_anything_else_is_refused_with_what_is_accepted(thing: Any) -> None:
    accepted = [
        "torch.nn.Module",
        "TrainingTask",
        "LightningModule",
        "transformers.Trainer",
        "fastai Learner",
        "skorch net",
        "Accelerate",
    ]
    for call in (lr_find, LRFinderWidget):
        with pytest.raises(TypeError) as caught:
            call(thing)
        assert type(thing).__name__ in str(caught.value)
        assert all(name in str(caught.value) for name in accepted)


def test_a_plain_module_has_no_adapter() -> None:
    assert adapt(nn.Linear(2, 2), torch.optim.SGD, nn.MSELoss(), loader(), {}) is None


def test_a_keyword_of_one_framework_is_unknown_elsewhere() -> None:
    with pytest.raises(TypeError, match="unknown option 'trainer'"):
        lr_find(nn.Linear(2, 2), torch.optim.SGD, nn.MSELoss(), loader(), trainer=None)


# Lightning


def test_a_lightning_module_with_an_optimizer_is_a_module_like_any_other(folder: Path) -> None:
    (module,) = make("lightning", folder).arguments
    module.forward = module.net.forward
    records = lr_find(module, torch.optim.SGD, nn.MSELoss(), loader(), **SHORT)
    assert records.meta["optimizer"] == "SGD"


def test_lightning_takes_a_datamodule_in_three_places(folder: Path) -> None:
    import lightning.pytorch as pl

    class Digits(pl.LightningDataModule):
        def setup(self, stage: str) -> None:
            self.noise = torch.randn(3)

        def train_dataloader(self) -> Any:
            return loader(7)

    case = make("lightning", folder)
    (module,), trainer, digits = case.arguments, case.keywords["trainer"], Digits()
    before = dict(vars(digits))
    one = lr_find(module, trainer=trainer, datamodule=digits, seed=1, **SHORT)
    two = lr_find(module, trainer=trainer, data=digits, seed=1, **SHORT)
    assert list(one.loss) == list(two.loss)
    assert vars(digits) == before
    assert len(lr_find(module, data=digits, **SHORT)) == 4  # Lightning's default Trainer


def test_lightning_takes_the_modules_own_loader(folder: Path) -> None:
    case = make("lightning", folder)
    (module,) = case.arguments
    kind = type("WithLoader", (type(module),), {"train_dataloader": lambda self: loader()})
    own = kind(case.plan)
    assert len(lr_find(own, trainer=case.keywords["trainer"], **SHORT)) == 4


def test_lightning_without_data_says_so(folder: Path) -> None:
    case = make("lightning", folder)
    (module,), trainer = case.arguments, case.keywords["trainer"]
    with pytest.raises(TypeError, match="give data=train_loader or datamodule="):
        lr_find(module, trainer=trainer)
    with pytest.raises(TypeError, match=r"trainer is an int; expected a lightning.pytorch.Trainer"):
        lr_find(module, trainer=3, data=loader())
    with pytest.raises(TypeError, match="datamodule is a DataLoader"):
        lr_find(module, trainer=trainer, datamodule=loader())


def test_a_lightning_trainer_alone_is_told_what_is_accepted(folder: Path) -> None:
    case = make("lightning", folder)
    with pytest.raises(TypeError, match=r"a LightningModule \(with trainer= or data\)"):
        lr_find(case.keywords["trainer"])


# skorch


def test_skorch_takes_x_and_y_in_every_way() -> None:
    from skorch import NeuralNetRegressor

    torch.manual_seed(0)
    x = torch.randn(40, 4).numpy()
    y = x[:, :2] * 2
    net = NeuralNetRegressor(nn.Linear(4, 2), batch_size=8, iterator_train__shuffle=True)
    ways: list[Any] = [((x, y), {}), ((), {"X": x, "y": y}), ((x,), {"y": y})]
    ways += [((), {"data": (x, y)}), ((), {"data": TensorDataset(*map(torch.tensor, (x, y)))})]
    curves = [list(lr_find(net, *a, **k, seed=1, **SHORT).loss) for a, k in ways]
    assert all(curve == curves[0] for curve in curves)
    # The training split is skorch's: a fifth is held out.
    task = adapt(net, x, y, None, {})
    assert task is not None
    assert sum(len(next(iter(step.batches))[0]) for step in task.data) == 32


def test_skorch_without_or_with_too_much_data_says_so() -> None:
    from skorch import NeuralNetRegressor

    net = NeuralNetRegressor(nn.Linear(4, 2))
    with pytest.raises(TypeError, match=re.escape("expected lr_find(net, X, y)")):
        lr_find(net)
    x = torch.zeros(8, 4).numpy()
    with pytest.raises(TypeError, match="given twice"):
        lr_find(net, x, x, X=x)


# transformers, accelerate


def test_a_trainer_without_data_says_so(folder: Path) -> None:
    (trainer,) = make("transformers", folder).arguments
    trainer.train_dataset = None
    with pytest.raises(TypeError, match="no train_dataset"):
        lr_find(trainer)


def test_accelerate_without_a_loader_says_so(folder: Path) -> None:
    model, optimizer, loss_fn, _ = make("accelerate", folder).arguments
    with pytest.raises(TypeError, match="the loader that Accelerate prepared"):
        lr_find(model, optimizer, loss_fn)
    with pytest.raises(TypeError, match="one sample a step; give the loader that Accelerate prep"):
        lr_find(model, optimizer, loss_fn, loader().dataset)


def test_the_other_package_of_lightning_is_taken_as_well(folder: Path) -> None:
    import pytorch_lightning as other

    class Line(other.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(4, 2)
            self.learning_rate = 0.5

        def training_step(self, batch: Any) -> torch.Tensor:
            x, y = batch
            return nn.functional.mse_loss(self.line(x), y)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.learning_rate)

    module = Line()
    trainer = other.Trainer(accelerator="cpu", default_root_dir=folder, logger=False)
    widget = LRFinderWidget(module, trainer=trainer, data=loader(), start_lr=1e-4, steps=4)
    widget.start()
    assert len(widget.wait(60)) > 0
    widget.lr = 0.25
    widget.apply()
    widget.close()
    assert module.learning_rate == 0.25


def test_what_is_named_in_also_is_put_back_beside_a_frameworks_object_too() -> None:
    from skorch import NeuralNetRegressor

    history: list[float] = []

    class Noting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            history.append(1.0)
            return super().forward(x)

    x, y = loader().dataset.tensors
    net = NeuralNetRegressor(Noting, module__in_features=4, module__out_features=2)
    lr_find(net, x.numpy(), y.numpy(), also=[history], **SHORT)
    assert history == []
    with pytest.raises(TypeError, match="also is an int; expected a list of objects"):
        lr_find(net, x.numpy(), y.numpy(), also=5, **SHORT)
