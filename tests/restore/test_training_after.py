"""Training after a sweep equals training without one, bit for bit."""

import copy
from collections.abc import Callable

import pytest
import torch

from tests.restore.endings import ENDINGS, find
from tests.restore.scenes import IN_PLACE, SCENES, Scene, batchnorm_dropout, warm_adam


def weights(it: Scene) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in it.model.state_dict().values()]


def trained(make: Callable[[], Scene], sweep: Callable[[Scene], object]) -> tuple[list[float], ...]:
    """Train with a sweep in the middle and return the losses and the weights."""
    torch.manual_seed(0)
    it = make()
    first = it.train(7)
    sweep(it)
    rest = it.train(7)
    return first, rest, [w.double().tolist() for w in weights(it)]


@pytest.mark.parametrize("snapshot", ["auto", "device", "disk"])
@pytest.mark.parametrize("scene", SCENES)
def test_it_goes_on_as_if_nothing_had_been(scene: str, snapshot: str) -> None:
    without = trained(SCENES[scene], lambda it: None)
    ran_on: list[str] = []

    def sweep(it: Scene) -> None:
        ran_on.append(find(it.task(snapshot=snapshot)).meta["ran_on"])

    assert trained(SCENES[scene], sweep) == without
    assert ran_on == ["copy" if snapshot == "auto" and scene not in IN_PLACE else "model"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_also_after_a_sweep_that_ended_early(ending: str) -> None:
    def sweep(it: Scene) -> None:
        ENDINGS[ending](it.task(snapshot="device"), it.plan)
        it.plan.factor = 1.0

    assert trained(batchnorm_dropout, sweep) == trained(batchnorm_dropout, lambda it: None)


def test_a_sweep_without_restore_would_be_noticed() -> None:
    def sweep(it: Scene) -> None:
        torch.rand(1)

    assert trained(batchnorm_dropout, sweep) != trained(batchnorm_dropout, lambda it: None)


def test_in_the_middle_of_an_epoch() -> None:
    """A loop over the loader continues at its position after a sweep."""

    def losses(sweep: bool) -> list[float]:
        torch.manual_seed(0)
        it = warm_adam()
        found = []
        for i, (x, y) in enumerate(it.loader):
            if sweep and i == 1:
                find(it.task())
            loss = it.loss_fn(it.model(x), y)
            it.optimizer.zero_grad()
            loss.backward()
            it.optimizer.step()
            found.append(loss.item())
        return found

    assert losses(sweep=True) == losses(sweep=False)


def test_a_checkpoint_taken_after_is_the_one_from_before() -> None:
    it = warm_adam()
    before = copy.deepcopy((it.model.state_dict(), it.optimizer.state_dict()))
    find(it.task())
    after = it.model.state_dict(), it.optimizer.state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=0)
