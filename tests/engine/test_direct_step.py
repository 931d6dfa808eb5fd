"""Call an optimizer's step without its entry in torch's profiler."""

import functools
import threading
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from lrwidget import TrainingTask, lr_find
from lrwidget.engine.direct_step import DirectStep
from tests.tasks import problem

OPTIMIZERS = {
    name: made
    for name, made in vars(torch.optim).items()
    if isinstance(made, type)
    and made is not torch.optim.Optimizer
    and name not in ("LBFGS", "SparseAdam")  # a closure; sparse gradients
}


def trained(made: Any, *, direct: bool) -> tuple[list[torch.Tensor], Any]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Tanh(), nn.Linear(3, 2, bias=False))
    optimizer = made(model.parameters(), lr=0.01)
    step = DirectStep(optimizer) if direct else optimizer.step
    x = torch.randn(5, 4)
    for _ in range(4):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        step()
    return list(model.parameters()), optimizer.state_dict()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_does_what_the_step_of_the_optimizer_does(name: str) -> None:
    weights, state = trained(OPTIMIZERS[name], direct=True)
    expected, expected_state = trained(OPTIMIZERS[name], direct=False)
    assert all(map(torch.equal, weights, expected))
    torch.testing.assert_close(state, expected_state, rtol=0, atol=0)


def entries_of(step: Any) -> list[str]:
    """Return what a profiler that observes the inner calls alone would count."""
    entered: list[str] = []
    original = torch.autograd.profiler.record_function.__enter__

    def enter(self: Any) -> Any:
        entered.append(self.name)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd.profiler.record_function, "__enter__", enter)
        step()
    return entered


def one_parameter(made: Any = torch.optim.SGD) -> Any:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    return made([parameter], lr=0.5)


def weights(optimizer: Any) -> list[float]:
    values: list[float] = optimizer.param_groups[0]["params"][0].tolist()
    return values


def test_it_makes_no_entry_in_the_profiler_while_none_listens() -> None:
    optimizer = one_parameter()
    assert entries_of(optimizer.step) == ["Optimizer.step#SGD.step"]
    assert entries_of(DirectStep(optimizer)) == []
    assert weights(optimizer) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("of", "name"),
    [(torch.autograd, "_profiler_enabled"), (torch.autograd.profiler, "_is_profiler_enabled")],
)
def test_where_torch_cannot_be_asked_for_a_profiler_it_gets_its_entry(
    of: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(of, name)
    step = DirectStep(one_parameter())
    assert step._wrapped is None


def test_the_profiler_gets_its_entry() -> None:
    step = DirectStep(one_parameter())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        step()
    assert "Optimizer.step#SGD.step" in {event.key for event in profiler.key_averages()}


def test_a_profiler_of_all_threads_gets_its_entry() -> None:
    step = DirectStep(one_parameter())
    of_all = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], experimental_config=of_all
    ) as profiler:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert "Optimizer.step#SGD.step" in {event.key for event in profiler.key_averages()}


@pytest.mark.parametrize(
    "register",
    [
        lambda optimizer, hook: optimizer.register_step_pre_hook(hook),
        lambda optimizer, hook: optimizer.register_step_post_hook(hook),
        lambda _, hook: register_optimizer_step_pre_hook(hook),
        lambda _, hook: register_optimizer_step_post_hook(hook),
    ],
    ids=["before", "after", "before any", "after any"],
)
def test_a_hook_is_called_from_when_it_is_registered(register: Any) -> None:
    calls: list[Any] = []
    optimizer = one_parameter()
    step = DirectStep(optimizer)
    step()
    handle = register(optimizer, lambda *given: calls.append(given[0]))
    step()
    handle.remove()
    step()
    assert calls == [optimizer]
    assert weights(optimizer) == [-0.5, -0.5]


def test_a_scheduler_still_counts_the_steps() -> None:
    optimizer = one_parameter()
    StepLR(optimizer, 10)
    step = DirectStep(optimizer)
    step()
    assert optimizer._opt_called is True


def test_a_step_that_others_have_wrapped_is_called_as_they_wrapped_it() -> None:
    class Wrapped(torch.optim.SGD):
        pass

    optimizer = one_parameter(Wrapped)
    early = DirectStep(optimizer)
    calls = []
    torchs: Any = Wrapped.step

    @functools.wraps(torchs)
    def noted(self: Any, *args: Any) -> Any:
        calls.append(self)
        return torchs(self, *args)

    Wrapped.step = noted  # type: ignore[method-assign]
    early()
    DirectStep(optimizer)()
    assert calls == [optimizer, optimizer]


def test_an_optimizer_that_torch_has_not_wrapped_is_called() -> None:
    class Plain:
        steps = 0

        def step(self) -> None:
            self.steps += 1

    plain = Plain()
    DirectStep(plain)()
    assert plain.steps == 1


def test_a_hook_that_a_batch_registers_in_mid_sweep_is_called() -> None:
    model, optimizer, loss_fn, loader = problem(torch.optim.SGD)
    calls: list[int] = []
    handles: list[Any] = []

    def hooked() -> Any:
        for number, batch in enumerate(list(loader) * 3):
            if number == 4:
                handles.append(register_optimizer_step_post_hook(lambda *_: calls.append(1)))
            yield batch

    try:
        lr_find(TrainingTask(model, optimizer, loss_fn, hooked()), steps=8, progress=False)
    finally:
        for handle in handles:
            handle.remove()
    assert len(calls) == 4
