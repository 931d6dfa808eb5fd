"""Cost and synchronizations of a sweep on a CUDA device: `python -m benchmarks.gpu`.

The sweep is compared with two bare loops: a usual one that reads the loss and therefore waits at
each step, and one that never reads a loss, which is as fast as the device and torch allow. All
times include start-up and restore.

Waits are counted in two ways: by the warnings of `torch.cuda.set_sync_debug_mode`, from torch's
own code, and by the calls of the CUDA runtime that the profiler records.
"""

import argparse
import functools
import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from benchmarks.finders import check
from benchmarks.paired import quartiles
from benchmarks.workloads import BATCH_SIZE, END_LR, START_LR, digits, lenet, mlp
from lrwidget import LRFinderWidget, TrainingTask, lr_find

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
COUNTED = 50  # steps of the sweep whose waits are counted
SWEEP = {"start_lr": START_LR, "end_lr": END_LR, "stop_at_divergence": False}


class Case(NamedTuple):
    """A network, its optimizer and its training options."""

    name: str
    network: Callable[[], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    batches: Callable[[], Iterable[Any]]
    autocast: torch.dtype | None = None
    scaled: bool = False
    steps: int = 500

    def task(self, device: torch.device) -> TrainingTask:
        """Return a task with the same new network each time, on the device."""
        torch.manual_seed(1703)
        model = self.network().to(device)
        return TrainingTask(
            model,
            self.optimizer(model.parameters()),
            nn.CrossEntropyLoss(),
            self.batches(),
            autocast=self.autocast,
            scaler=torch.amp.GradScaler(device.type) if self.scaled else None,
        )


class Transformer(nn.Module):
    """Classifies sequences of vectors: encoder layers, the mean over the sequence, a linear layer.

    Args:
        features: length of each input vector.
        width: width of the model; the feed-forward part is four times as wide.
        layers: number of encoder layers.
    """

    def __init__(self, features: int, width: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, 10) for `x`, (batch, 1, length, features) or without the 1."""
        encoded = self.encoder(self.embed(x.flatten(0, -3) if x.dim() == 4 else x))
        logits: torch.Tensor = self.head(encoded.mean(1))
        return logits


read_digits = functools.cache(digits)


def loader() -> Iterable[Any]:
    """Return a loader of shuffled digits in pinned memory."""
    return DataLoader(read_digits(), BATCH_SIZE, shuffle=True, pin_memory=torch.cuda.is_available())


def ready() -> Iterable[Any]:
    """Return the batches of `loader` in a list."""
    return list(loader())


def long_sequences() -> Iterable[Any]:
    """Return batches of noise, each of shape (32, 256, 64)."""
    made = [(torch.randn(32, 256, 64), torch.randint(10, (32,))) for _ in range(8)]
    return [[t.pin_memory() if torch.cuda.is_available() else t for t in pair] for pair in made]


def capturable(parameters: Any) -> torch.optim.Optimizer:
    """Return Adam for CUDA graphs: its step counts and rate are tensors on the device."""
    parameters = list(parameters)
    lr = torch.tensor(1e-3, device=parameters[0].device)
    return torch.optim.Adam(parameters, lr=lr, capturable=True)


ADAM, ADAMW = torch.optim.Adam, torch.optim.AdamW
FUSED = functools.partial(torch.optim.AdamW, fused=True)
SMALL = functools.partial(Transformer, 8, 128, 4)
WIDE = functools.partial(Transformer, 64, 1024, 6)
HALF = {"autocast": torch.float16, "scaled": True}

CASES = {
    "mlp": Case("MLP, Adam", mlp, ADAM, ready),
    "lenet-loader": Case("LeNet, Adam, from a loader", lenet, ADAM, loader),
    "lenet": Case("LeNet, Adam", lenet, ADAM, ready),
    "lenet-capturable": Case("LeNet, capturable Adam", lenet, capturable, ready),
    "lenet-fused": Case("LeNet, fused AdamW", lenet, FUSED, ready),
    "lenet-scaled": Case("LeNet, Adam, float16 and GradScaler", lenet, ADAM, ready, **HALF),
    "lenet-fused-scaled": Case(
        "LeNet, fused AdamW, float16 and GradScaler", lenet, FUSED, ready, **HALF
    ),
    "transformer": Case("transformer, AdamW", SMALL, ADAMW, ready, steps=100),
    "transformer-fused": Case("transformer, fused AdamW", SMALL, FUSED, ready, steps=100),
    "transformer-fused-scaled": Case(
        "transformer, fused AdamW, float16 and GradScaler", SMALL, FUSED, ready, steps=100, **HALF
    ),
    "wide": Case(
        "wide transformer, fused AdamW, bfloat16",
        WIDE,
        FUSED,
        long_sequences,
        autocast=torch.bfloat16,
        steps=100,
    ),
}


# -- timed runs: each function takes a task and returns a function that runs the sweep

Timed = Callable[[], Any]


def bare_loop(task: TrainingTask, steps: int, *, reads: bool) -> Timed:
    """Set the rate, step, and optionally read the loss; record and restore nothing."""

    def run() -> None:
        model, optimizer, scaler = task.model, task.optimizer, task.scaler
        batches = endless(task.data)
        for i in range(1, steps + 1):
            x, y = (tensor.to(task.device, non_blocking=True) for tensor in next(batches))
            lr = START_LR * (END_LR / START_LR) ** (i / steps)
            for group in optimizer.param_groups:
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].fill_(lr)
                else:
                    group["lr"] = lr
            optimizer.zero_grad()
            half = task.autocast is not None
            with torch.autocast(task.device.type, task.autocast) if half else nullcontext():
                loss = task.loss_fn(model(x), y)
            if scaler is None:
                loss.backward()
                optimizer.step()
            else:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            if reads:
                loss.item()

    return run


def endless(data: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches in an endless loop."""
    while True:
        yield from data


def in_front(task: TrainingTask, steps: int) -> Timed:
    """Return a run of all of `lr_find`."""

    def run() -> None:
        check(len(lr_find(task, steps=steps, progress=False, **SWEEP)), steps)

    return run


def widget(task: TrainingTask, steps: int) -> Timed:
    """Return a run of the widget from `start()` to the end of `wait()`, with the suggestion."""
    made = LRFinderWidget(task, steps=steps, **SWEEP)

    def run() -> Any:
        made.start()
        check(len(made.wait()), steps)
        return made

    return run


NEVER, READS = "bare loop, never reads", "bare loop, reads each loss"
RUNS: dict[str, Callable[[TrainingTask, int], Timed]] = {
    NEVER: functools.partial(bare_loop, reads=False),
    READS: functools.partial(bare_loop, reads=True),
    "lr_find": in_front,
    "widget": widget,
}


def seconds(run: Timed) -> float:
    """Return the seconds that a run takes until the device has finished."""
    gc.collect()
    synchronize()
    began = time.perf_counter()
    result = run()
    synchronize()
    took = time.perf_counter() - began
    if result is not None:
        result.close()
    return took


def synchronize() -> None:
    """Wait for the CUDA device, if any."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(case: Case, device: torch.device, rounds: int, steps: int) -> dict[str, list[float]]:
    """Return seconds by run and round, all runs interleaved; the first round is not counted."""
    took: dict[str, list[float]] = {name: [] for name in RUNS}
    names = list(RUNS)
    for round_ in range(rounds + 1):
        for name in names:
            spent = seconds(RUNS[name](case.task(device), steps))
            if round_:
                took[name].append(spent)
        names = names[1:] + names[:1]
        if round_ % 2:
            names.reverse()
    return took


# -- waits


def waits(case: Case, device: torch.device, make: Callable[..., Timed]) -> str:
    """Return the number of waits for the device: torch's own count, and the profiler's."""
    own = torchs_waits(make(case.task(device), COUNTED))
    run = make(case.task(device), COUNTED)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        result = run()
    if result is not None:
        result.close()
    # The profiler itself calls cudaDeviceSynchronize once.
    calls = {event.key: event.count for event in seen.key_averages() if event.key in WAITS}
    return f"{own} by torch; by the profiler {calls}"


def torchs_waits(run: Timed) -> int:
    """Return the number of waits that torch warns of."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            result = run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    if result is not None:
        result.close()
    return sum("called a synchronizing" in str(warning.message) for warning in warned)


def report(took: dict[str, list[float]]) -> None:
    """Print one table."""
    print(f"    {'':28}{'ms':>9}   over never reads         over reads each loss")
    for name, times in took.items():
        ratios = []
        for over in (NEVER, READS):
            pairs = zip(times, took[over], strict=True)
            ratios.append(f"{quartiles([mine / base for mine, base in pairs])!s:22}")
        print(
            f"    {name:28}{1e3 * statistics.median(times):9.1f}   {'   '.join(ratios).rstrip()}",
            flush=True,
        )


def main() -> None:
    """Measure and print the figures; fail without CUDA."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=str([*CASES]))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, help="of every case, in place of its own number")
    parser.add_argument("--device", default="cuda", help="cpu only tries the program out")
    parser.add_argument("--no-waits", action="store_true", help="do not count waits")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here: nothing was measured")
    here = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
    print(f"{here}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    for case in (CASES[name] for name in options.cases):
        steps = options.steps or case.steps
        print(f"\n{case.name}, {steps} steps, {options.rounds} rounds", flush=True)
        report(measure(case, device, options.rounds, steps))
        if device.type == "cuda" and not options.no_waits:
            for name, make in RUNS.items():
                found = waits(case, device, make)
                print(f"    waits of {name} in {COUNTED} steps: {found}", flush=True)


if __name__ == "__main__":
    main()
