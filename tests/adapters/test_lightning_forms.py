"""Forms of modules, loaders and loggers that `Trainer.fit` takes."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import lr_find

SHORT: dict[str, Any] = {"start_lr": 1e-3, "end_lr": 1e-1, "steps": 6, "progress": False}
LOADER = DataLoader(TensorDataset(torch.randn(32, 4)), 8)


class Module(pl.LightningModule):
    """Takes batches by themselves, and in a dict of loaders."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net: Any = nn.Linear(4, 4)

    def training_step(self, batch: Any, index: int) -> Any:
        parts = batch.values() if isinstance(batch, dict) else [batch]
        return sum((self.net(x) - x).square().mean() for (x,) in parts)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_compiled_module_is_swept_compiled_and_is_as_before() -> None:
    plain, calls = Module(), []

    def backend(graph: Any, _: Any) -> Any:
        calls.append(graph)
        return graph.forward

    compiled = torch.compile(plain, backend=backend)
    names = set(vars(plain))
    records = lr_find(compiled, data=LOADER, **SHORT)
    assert calls
    assert set(vars(plain)) == names
    assert list(records.loss) == list(lr_find(plain, data=LOADER, **SHORT).loss)


def test_a_combined_loader_keeps_its_loaders() -> None:
    given = CombinedLoader({"a": LOADER, "b": LOADER}, "min_size")
    before = dict(vars(given))
    lr_find(Module(), data=given, **SHORT)
    assert all(vars(given)[name] is value for name, value in before.items())
    assert given.flattened == [LOADER, LOADER]


def test_layers_that_are_not_made_yet_are_told_how_to_make() -> None:
    class Late(Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = None

        def configure_model(self) -> None:
            if self.net is None:
                self.net = nn.Linear(4, 4)

    late = Late()
    with pytest.raises(ValueError, match=r"no parameters yet; .*module\.configure_model\(\)"):
        lr_find(late, data=LOADER, **SHORT)
    late.configure_model()
    assert len(lr_find(late, data=LOADER, **SHORT)) == 6
    with pytest.raises(ValueError, match="has no trainable parameter"):
        lr_find(late.requires_grad_(False), data=LOADER, **SHORT)


def test_lazy_layers_are_told_to_be_run_once() -> None:
    lazy = Module()
    lazy.net = nn.LazyLinear(4)
    with pytest.raises(ValueError, match="lazy parameters without a shape yet; run it once"):
        lr_find(lazy, data=LOADER, **SHORT)
    lazy.net(torch.ones(2, 4))
    assert len(lr_find(lazy, data=LOADER, **SHORT)) == 6


def test_a_module_without_an_optimizer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Module, "configure_optimizers", lambda self: None)
    with pytest.raises(ValueError, match="configure_optimizers returned no optimizer"):
        lr_find(Module(), data=LOADER, **SHORT)


def test_what_a_module_writes_to_the_folder_of_its_loggers_is_gone(folder: Path) -> None:
    class Writes(Module):
        def on_train_start(self) -> None:
            (Path(self.logger.log_dir) / "a").touch()
            (Path(self.loggers[1].save_dir) / "b").touch()
            (Path(self.trainer.log_dir) / "c").touch()
            written.append(Path(self.logger.log_dir))

    written: list[Path] = []
    loggers = [CSVLogger(folder), CSVLogger(folder)]
    trainer = pl.Trainer(accelerator="cpu", logger=loggers, enable_progress_bar=False)
    lr_find(Writes(), trainer=trainer, data=LOADER, **SHORT)
    assert written
    assert not any(path.exists() for path in written)
    assert not list(folder.iterdir())
