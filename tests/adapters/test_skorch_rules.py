"""What skorch's callbacks freeze stays frozen, and what wraps a net is told."""

from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, lr_find, refine
from tests.adapters.test_held_out import INPUTS, Pairs, short_trials
from tests.restore.fingerprint import differences, fingerprint

__all__ = ["short_trials"]

X, Y = INPUTS.numpy(), Pairs(INPUTS).targets.numpy()
MOVED: dict[str, float] = {}


class Noting(nn.Module):
    """Notes how far each layer has moved since the first forward pass."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name, layer in (("body", self.body), ("head", self.head)):
            weight = layer.weight.detach()
            begun = FIRST.setdefault(name, weight.clone())
            MOVED[name] = max(MOVED.get(name, 0.0), float((weight - begun).abs().max()))
        scores: torch.Tensor = self.head(self.body(x))
        return scores


FIRST: dict[str, torch.Tensor] = {}


def net(*callbacks: Any, **options: Any) -> Any:
    from skorch import NeuralNetRegressor

    FIRST.clear()
    MOVED.clear()
    given = {"train_split": None, "verbose": 0, "callbacks": list(callbacks), **options}
    return NeuralNetRegressor(Noting(), lr=0.1, batch_size=8, **given)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("initialized", [False, True])
def test_a_layer_that_a_freezer_freezes_is_not_trained(named: bool, initialized: bool) -> None:
    from skorch.callbacks import Freezer

    freezer: Any = Freezer("body.*")
    one = net(("freezer", freezer) if named else freezer)
    if initialized:
        one.initialize()
    lr_find(one, X, Y, steps=10, progress=False)
    refine(one, LRRecords(), 10, X=X, y=Y)
    assert MOVED["body"] == 0
    assert MOVED["head"] > 0
    module = one.module_ if initialized else one.module
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_what_is_frozen_later_or_unfrozen_is_trained() -> None:
    from skorch.callbacks import Freezer, Initializer, Unfreezer

    def ones(weight: torch.Tensor) -> Any:
        return nn.init.ones_(weight)

    one = net(Freezer("body.*", at=2), Freezer("head.*"), Unfreezer("head.weight"))
    one.set_params(callbacks=[*one.callbacks, Initializer("*", fn=ones)])
    before = [parameter.clone() for parameter in one.module.parameters()]
    with pytest.warns(UserWarning, match="Initializer of the net takes no part in a sweep"):
        lr_find(one, X, Y, steps=10, progress=False)
    assert MOVED["body"] > 0
    assert MOVED["head"] > 0
    assert all(map(torch.equal, before, one.module.parameters()))


def test_what_wraps_a_net_is_told_what_to_give() -> None:
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    one = net()
    pipeline = make_pipeline(StandardScaler(), one)
    search = GridSearchCV(one, {"lr": [0.1, 0.01]})
    with pytest.raises(TypeError, match=r"net = pipeline\[-1\], X = pipeline\[:-1\]"):
        lr_find(pipeline, X, Y)
    with pytest.raises(TypeError, match=r"GridSearchCV\.estimator"):
        refine(search, LRRecords(), 10, X=X, y=Y)
    with pytest.raises(TypeError, match=r"pipeline\[-1\]"):
        lr_find(GridSearchCV(pipeline, {}), X, Y)


@pytest.mark.parametrize("initialized", [False, True])
def test_a_net_that_accumulates_by_its_history_is_trained_as_in_its_own_loop(
    initialized: bool,
) -> None:
    from skorch import NeuralNetRegressor

    class Accumulating(NeuralNetRegressor):  # type: ignore[misc]
        """As skorch's documentation shows it; notes the loss of each batch and each step."""

        def train_step(self, batch: Any, **parameters: Any) -> Any:
            step = self.train_step_single(batch, **parameters)
            noted.append(float(step["loss"].detach()))
            if len(self.history[-1, "batches"]) % 2 == 0:
                self.optimizer_.step()
                self.optimizer_.zero_grad()
                noted.append(0.0)  # for the step
            return step

    def made() -> Any:
        torch.manual_seed(0)
        options = {"train_split": None, "verbose": 0, "lr": 0.01, "batch_size": 8}
        one = Accumulating(Noting(), max_epochs=4, **options)
        return one.initialize() if initialized else one

    noted: list[float] = []
    one = made()
    # Three batches in a pass: the gradient of the last is left for the step of the next.
    same = {"start_lr": 0.01, "end_lr": 0.01 + 1e-12, "steps": 4}
    records = lr_find(one, X[:24], Y[:24], progress=False, **same)
    rows, again = noted.copy(), lr_find(one, X[:24], Y[:24], progress=False, **same)
    assert noted == rows * 2
    assert again.loss.tolist() == records.loss.tolist()
    noted.clear()
    trained = made()
    trained.partial_fit(X[:24], Y[:24])
    assert rows == pytest.approx(noted[: len(rows)], rel=1e-5)
    assert len(rows) == 11 + 4
    assert not getattr(one, "history_", [])
    assert refine(one, records, 13, X=X[:24], y=Y[:24]).stop_reason == "finished"


def test_methods_of_the_net_are_called_as_in_fit_and_what_they_count_is_put_back() -> None:
    from skorch import NeuralNetRegressor

    class Counting(NeuralNetRegressor):  # type: ignore[misc]
        """Weights its loss by what its own methods have counted."""

        def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **more: Any) -> None:  # noqa: N803
            super().on_train_begin(net, X=X, y=y, **more)
            self.begun, self.count, self.epoch = len(X), 0, 0

        def on_epoch_begin(self, net: Any, dataset_train: Any = None, **more: Any) -> None:
            super().on_epoch_begin(net, dataset_train=dataset_train, **more)
            self.epoch += len(dataset_train)

        def on_batch_begin(self, net: Any, batch: Any = None, **more: Any) -> None:
            super().on_batch_begin(net, batch=batch, **more)
            self.count += len(batch[0])

        def on_batch_end(self, net: Any, loss: Any = None, **more: Any) -> None:
            super().on_batch_end(net, loss=loss, **more)
            notes.append(float(loss.detach()))

        def get_loss(self, *args: Any, **keywords: Any) -> Any:
            loss = super().get_loss(*args, **keywords)
            return loss * (self.begun + self.epoch + self.count) / 100

    def made() -> Any:
        torch.manual_seed(0)
        options = {"train_split": None, "verbose": 0, "lr": 0.01, "batch_size": 8}
        one = Counting(Noting(), max_epochs=3, **options).initialize()
        notes.clear()
        return one

    notes: list[float] = []
    one = made()
    before = dict(vars(one))
    rates = {"start_lr": 0.01, "end_lr": 0.01 + 1e-12, "steps": 7, "progress": False}
    records = lr_find(one, X[:24], Y[:24], **rates)
    assert vars(one) == before
    assert records.loss.tolist() == notes
    assert lr_find(one, X[:24], Y[:24], **rates).loss.tolist() == records.loss.tolist()
    trained = made()
    trained.partial_fit(X[:24], Y[:24])
    assert records.loss.tolist() == pytest.approx(notes[:7], rel=1e-5)


def test_a_second_optimizer_is_as_before_beside_a_criterion_that_is_no_module() -> None:
    from skorch import NeuralNet

    class Squares:
        def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (output - target).square().mean()

    class Two(NeuralNet):  # type: ignore[misc]
        def initialize_optimizer(self, *args: Any, **keywords: Any) -> Any:
            super().initialize_optimizer(*args, **keywords)
            self.second_ = torch.optim.Adam([self.module_.bias], 0.01)
            return self

        def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
            self.second_.zero_grad()
            found = super().train_step_single(batch, **fit_params)
            self.second_.step()
            return found

    x, y = torch.randn(32, 3), torch.randn(32, 1)
    net = Two(nn.Linear(3, 1), Squares, max_epochs=1, train_split=None, verbose=0).fit(x, y)
    subjects = {"module": net.module_, "first": net.optimizer_, "second": net.second_}
    before = fingerprint(**subjects)
    records = lr_find(net, x, y, progress=False)
    assert len(records) > 12
    assert differences(before, fingerprint(**subjects)) == []
