"""Sweeps on a CUDA device: endings, losses, generators and synchronizations."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import LRRecords, TrainingTask, lr_find
from lrwidget.sources.local import SweepRunner
from lrwidget.task.options import SweepOptions
from tests.gpu import DEVICE, OPTIMIZERS, batches, network, plain_loop, problem, there, waits
from tests.nothing_left import own_folder_for_temporary_files
from tests.restore.endings import ENDINGS, PATIENCE
from tests.restore.fingerprint import differences
from tests.restore.scenes import IN_PLACE, SCENES, Scene

__all__ = ["own_folder_for_temporary_files", "there"]


@pytest.fixture(scope="module", autouse=True)
def in_use() -> None:
    """Run sweeps first, here and in a thread, so that torch's lasting allocations exist."""
    for _ in range(2):
        find(TrainingTask(*problem()), steps=3)
        in_a_thread(TrainingTask(*problem()), steps=3)
    torch.cuda.synchronize()


def in_a_thread(task: TrainingTask, **options: Any) -> LRRecords:
    run = SweepRunner(task, SweepOptions(**options))
    run.start()
    return run.wait(PATIENCE)


def find(task: TrainingTask, **options: Any) -> LRRecords:
    return lr_find(task, progress=False, **options)


# -- endings


# "extended, Stop" reacts to single rows; on a device rows arrive in groups.
ALL_ENDINGS = [name for name in ENDINGS if name != "extended, Stop"]
SOME_ENDINGS = ["finished in the background", "diverged", "Stop", "exception in backward"]
# Moving a model separates views of one storage, so this scene cannot exist on a device.
ON_THE_DEVICE = [name for name in SCENES if name != "shared_storage"]


def cases() -> Iterator[tuple[str, str, str]]:
    for scene in ON_THE_DEVICE:
        every = scene in ("warm_adam", "batchnorm_dropout", "scaled")
        for ending in ALL_ENDINGS if every else SOME_ENDINGS:
            for place in ("auto", "device", "cpu", "disk"):
                if place != "auto" or scene not in IN_PLACE:
                    yield scene, ending, place


@pytest.mark.parametrize(("scene", "ending", "snapshot"), list(cases()))
def test_everything_is_as_before(
    there: Callable[[str], Scene], scene: str, ending: str, snapshot: str
) -> None:
    it = there(scene)
    task = it.task(snapshot=snapshot)
    assert task.device.type == DEVICE.type
    before = it.fingerprint()
    records = ENDINGS[ending](task, it.plan)
    assert records.meta["ran_on"] == ("copy" if snapshot == "auto" else "model")
    assert len(records) > 0
    assert differences(before, it.fingerprint()) == []


# -- losses and optimizers


@pytest.mark.parametrize("run", [find, in_a_thread])
@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_losses_are_those_of_a_plain_loop(name: str, snapshot: Any, run: Any) -> None:
    made = problem(OPTIMIZERS[name])
    records = run(TrainingTask(*made, snapshot=snapshot), start_lr=1e-5, end_lr=1e-2, steps=50)
    assert len(records) == 50
    # The loop runs after the sweep, so that anything the sweep did not restore changes the losses.
    generator = torch.cuda.get_rng_state()
    assert plain_loop(*made, rates=records.lr) == records.loss.tolist()
    assert not torch.equal(generator, torch.cuda.get_rng_state())


def test_a_rate_that_is_a_tensor_stays_the_same_tensor_with_its_value() -> None:
    made = problem(OPTIMIZERS["capturable"])
    plain_loop(*made, rates=[1e-3] * 3)
    rate = made[1].param_groups[0]["lr"]
    for snapshot in ("auto", "device", "cpu"):
        records = find(TrainingTask(*made, snapshot=snapshot), steps=20, end_lr=1e-2)
        assert len(records) == 20
        assert made[1].param_groups[0]["lr"] is rate
        assert rate.item() == torch.tensor(1e-3).item()
        counts = [state["step"] for state in made[1].state.values()]
        assert {(count.device.type, count.item()) for count in counts} == {(DEVICE.type, 3.0)}


@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_that_a_scaler_skips_are_taken_again_at_their_rate(name: str, snapshot: Any) -> None:
    model, optimizer, loss_fn, data = problem(OPTIMIZERS[name])
    scaler = torch.amp.GradScaler(DEVICE.type, init_scale=2.0**24)
    task = TrainingTask(
        model, optimizer, loss_fn, data, autocast=torch.float16, scaler=scaler, snapshot=snapshot
    )
    weights = [p.clone() for p in model.parameters()]
    records = find(task, start_lr=1e-5, end_lr=1e-2, steps=40)
    skipped = records.meta["skipped_by_scaler"]
    assert 3 <= len(skipped) <= 20
    assert all(rate == records.lr[step] for step, rate in skipped)
    assert len(records) == 40
    assert records.frame.loss.notna().all()
    assert scaler.get_scale() == 2.0**24
    assert all(map(torch.equal, weights, model.parameters()))


@pytest.mark.parametrize("fused", [True, False])
def test_a_trained_model_is_swept_on_another_device_than_its_own(fused: bool) -> None:
    model, loss_fn, data = network(), nn.CrossEntropyLoss(), batches()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    loss_fn(model(data[0][0]), data[0][1]).backward()
    optimizer.step()
    task = TrainingTask(model, optimizer, loss_fn, data, device=DEVICE.type)
    records = find(task, steps=20, end_lr=1e-2)
    assert len(records) == 20
    assert records.meta["device"] == f"{DEVICE.type}:{torch.cuda.current_device()}"
    state = [value for of_one in optimizer.state.values() for value in of_one.values()]
    assert {tensor.device.type for tensor in [*model.parameters(), *state]} == {"cpu"}


def test_a_rate_on_the_cpu_is_set_on_the_device() -> None:
    model, loss_fn, data = network(), nn.CrossEntropyLoss(), batches()
    rate = torch.tensor(1e-3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)
    task = TrainingTask(model, optimizer, loss_fn, data, device=DEVICE.type)
    assert len(find(task, steps=20, end_lr=1e-2)) == 20
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == torch.tensor(1e-3).item()


def test_a_device_without_a_number_is_the_current_one() -> None:
    made = problem()
    task = TrainingTask(*made, device=DEVICE.type, snapshot="device")
    assert task.device == next(made[0].parameters()).device
    assert len(find(task, steps=5)) == 5


# -- generators


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("snapshot", ["auto", "device"])
def test_generators_of_the_device_are_put_back(snapshot: Any, seed: int | None) -> None:
    model, optimizer, loss_fn, data = problem()
    own = torch.Generator(DEVICE).manual_seed(3)
    model.own = own
    model.register_forward_pre_hook(
        lambda module, args: args[0] + torch.randn(8, generator=module.own, device=DEVICE) * 0.01
    )
    before = torch.cuda.get_rng_state(), own.get_state()
    first = find(TrainingTask(model, optimizer, loss_fn, data), steps=20, seed=seed)
    after = torch.cuda.get_rng_state(), own.get_state()
    assert all(map(torch.equal, before, after))
    again = find(TrainingTask(model, optimizer, loss_fn, data), steps=20, seed=seed)
    assert again.loss.tolist() == first.loss.tolist()


def test_everything_works_where_the_device_is_the_default_one() -> None:
    with torch.device(DEVICE):
        x = torch.randn(64, 8)
        own = torch.Generator(DEVICE).manual_seed(2)
        loader = DataLoader(TensorDataset(x, x[:, 0] > 0), 16, shuffle=True, generator=own)
        model = nn.Linear(8, 2)
        optimizer = torch.optim.Adam(model.parameters())
        before = torch.cuda.get_rng_state(), own.get_state()
        losses = []
        for snapshot in ("auto", "device", "cpu", "disk"):
            task = TrainingTask(
                model,
                optimizer,
                lambda out, y: nn.functional.cross_entropy(out, y.long()),
                loader,
                snapshot=snapshot,
            )
            for run in (find, in_a_thread):
                losses.append(run(task, steps=20).loss.tolist())
                now = torch.cuda.get_rng_state(), own.get_state()
                assert all(map(torch.equal, before, now))
        assert losses == losses[:1] * 8


FIRST_USE = """
import torch
from torch import nn
from lrwidget import lr_find
torch.manual_seed(7)
model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2))
optimizer = torch.optim.Adam(model.parameters())
data = [(torch.randn(8, 4), torch.randint(2, (8,)))] * 3
found = [
    lr_find(model, optimizer, nn.CrossEntropyLoss(), data, device="cuda", steps=10, seed=seed,
            progress=False).loss.tolist()
    for seed in (None, 1, None, 1)
]
drawn = torch.rand(5, device="cuda").tolist()
torch.manual_seed(7)
assert drawn == torch.rand(5, device="cuda").tolist(), "the generator was not put back"
assert found[1] == found[3], "a seed did not seed it"
"""


@pytest.mark.process
def test_a_generator_first_used_by_a_sweep_stands_at_its_seed_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- waits


@pytest.mark.parametrize("run", [find, in_a_thread])
@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("options", [{}, {"clip_grad_norm": 1.0}, {"autocast": True}], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_longer_sweep_waits_no_more_often(
    name: str, options: Any, snapshot: Any, run: Any
) -> None:
    task = TrainingTask(*problem(OPTIMIZERS[name]), snapshot=snapshot, **options)
    run(task, steps=10)

    def of(steps: int) -> int:
        return waits(lambda: run(task, steps=steps, stop_at_divergence=False, end_lr=1e-2))

    assert of(200) == of(100)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_scaler_makes_a_step_wait_once(name: str) -> None:
    scaler = torch.amp.GradScaler(DEVICE.type)
    task = TrainingTask(*problem(OPTIMIZERS[name]), autocast=torch.float16, scaler=scaler)
    find(task, steps=10)

    def of(steps: int) -> int:
        return waits(lambda: find(task, steps=steps, end_lr=1e-2))

    assert of(200) - of(100) == 100


def test_the_count_sees_a_step_that_waits() -> None:
    model, optimizer, loss_fn, data = problem()

    def waiting(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = loss_fn(output, target)
        loss.item()
        return loss

    task = TrainingTask(model, optimizer, waiting, data)
    assert waits(lambda: find(task, steps=50, end_lr=1e-2)) >= 50


# -- streams


def test_a_sweep_in_a_thread_comes_after_what_its_caller_has_queued() -> None:
    made = problem(torch.optim.SGD, lr=0.1)
    expected = find(TrainingTask(*made), steps=10, end_lr=1e-2).loss.tolist()
    weights = [p.clone() for p in made[0].parameters()]
    with torch.no_grad():
        for p in made[0].parameters():
            p.fill_(7.0)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(200_000_000)  # delays the write of the weights by some tenths of a second
        with torch.no_grad():
            for p, weight in zip(made[0].parameters(), weights, strict=True):
                p.copy_(weight)
        assert in_a_thread(TrainingTask(*made), steps=10, end_lr=1e-2).loss.tolist() == expected
    torch.cuda.synchronize()
