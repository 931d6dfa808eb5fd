"""Trains many replicas of a small model at once, for all rates and seeds."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

State = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """The training of one task.

    Attributes:
        name, family: tasks of one family are left out together when a rule is scored.
        data: returns training and validation data, each a tuple of tensors of equal length.
        model: makes the model; called after the seed is set.
        loss: of a model and one batch (a tuple of tensors).
        optimizer: name, one of `UPDATES`.
        decay: weight decay, decoupled where the optimizer is called adamw or lion.
    """

    name: str
    family: str
    data: Callable[[], tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]
    model: Callable[[], nn.Module]
    loss: Callable[..., Tensor]
    optimizer: str
    batch: int
    steps: int
    decay: float = 0.0


class Replicas:
    """Copies of one recipe's model, each with its own seed, rate and batches."""

    def __init__(self, recipe: Recipe, seeds: list[int], rates_per_seed: int) -> None:
        self.recipe = recipe
        self.train, self.held = recipe.data()
        models = []
        for seed in seeds:
            torch.manual_seed(1000 + seed)
            models.append(recipe.model())
        self.model = models[0]
        params, _ = stack_module_state(models)
        # Replica r has seed r // rates_per_seed.
        self.params = {
            k: v.detach().repeat_interleave(rates_per_seed, 0) for k, v in params.items()
        }
        self.copies = rates_per_seed
        self.orders = [torch.Generator().manual_seed(2000 + seed) for seed in seeds]
        self.queues: list[list[int]] = [[] for _ in seeds]
        self.state: dict[str, State] = {}
        self.count = 0

        def loss(params: State, *batch: Tensor) -> Tensor:
            return recipe.loss(lambda *x: functional_call(self.model, params, x), *batch)

        self._loss = vmap(loss, randomness="different")
        self._step = vmap(grad_and_value(loss), randomness="different")

    def batches(self) -> tuple[Tensor, ...]:
        """Return the next batch of every replica: without replacement, like a loader."""
        rows = []
        for queue, order in zip(self.queues, self.orders, strict=True):
            while len(queue) < self.recipe.batch:
                queue.extend(torch.randperm(len(self.train[0]), generator=order).tolist())
            rows.append(queue[: self.recipe.batch])
            del queue[: self.recipe.batch]
        index = torch.tensor(rows).repeat_interleave(self.copies, 0)
        return tuple(column[index] for column in self.train)

    def step(self, rate: Tensor) -> Tensor:
        """Make one step at each replica's rate; return the losses before it."""
        grads, losses = self._step(self.params, *self.batches())
        self.count += 1
        recipe, update = self.recipe, UPDATES[self.recipe.optimizer]
        for name, old in self.params.items():
            value, grad = old, grads[name]
            lr = rate.view(-1, *[1] * (value.dim() - 1))
            if recipe.optimizer in DECOUPLED:
                value = value * (1 - lr * recipe.decay)
            else:
                grad = grad + recipe.decay * value
            state = self.state.setdefault(name, {})
            self.params[name] = update(value, grad, lr, state, self.count)
        return losses.detach()

    def held_losses(self) -> list[float]:
        """Return the validation loss of every replica."""
        self.model.eval()
        one = next(iter(self.params.values())).shape[0]
        columns = tuple(c.expand(one, *c.shape) for c in self.held)
        with torch.no_grad():
            losses = self._loss(self.params, *columns)
        self.model.train()
        return losses.tolist()


def _zero(state: State, key: str, like: Tensor) -> Tensor:
    return state.setdefault(key, torch.zeros_like(like))


def _sgd(momentum: float, nesterov: bool = False) -> Callable[..., Tensor]:
    def update(p: Tensor, g: Tensor, lr: Tensor, state: State, _count: int) -> Tensor:
        if not momentum:
            return p - lr * g
        state["m"] = momentum * _zero(state, "m", p) + g
        return p - lr * (g + momentum * state["m"] if nesterov else state["m"])

    return update


def _adam(kind: str) -> Callable[..., Tensor]:
    def update(p: Tensor, g: Tensor, lr: Tensor, state: State, count: int) -> Tensor:
        b1, b2 = 0.9, 0.999
        state["m"] = b1 * _zero(state, "m", p) + (1 - b1) * g
        if kind == "adamax":
            state["v"] = torch.maximum(b2 * _zero(state, "v", p), g.abs() + 1e-8)
            return p - lr / (1 - b1**count) * state["m"] / state["v"]
        state["v"] = b2 * _zero(state, "v", p) + (1 - b2) * g * g
        m = state["m"] / (1 - b1**count)
        if kind == "nadam":
            m = b1 * m + (1 - b1) * g / (1 - b1**count)
        return p - lr * m / ((state["v"] / (1 - b2**count)).sqrt() + 1e-8)

    return update


def _rmsprop(momentum: float) -> Callable[..., Tensor]:
    def update(p: Tensor, g: Tensor, lr: Tensor, state: State, _count: int) -> Tensor:
        state["v"] = 0.99 * _zero(state, "v", p) + 0.01 * g * g
        step = g / (state["v"].sqrt() + 1e-8)
        if momentum:
            state["m"] = momentum * _zero(state, "m", p) + step
            step = state["m"]
        return p - lr * step

    return update


def _adagrad(p: Tensor, g: Tensor, lr: Tensor, state: State, _count: int) -> Tensor:
    state["v"] = _zero(state, "v", p) + g * g
    return p - lr * g / (state["v"].sqrt() + 1e-10)


def _lion(p: Tensor, g: Tensor, lr: Tensor, state: State, _count: int) -> Tensor:
    m = _zero(state, "m", p)
    step = (0.9 * m + 0.1 * g).sign()
    state["m"] = 0.99 * m + 0.01 * g
    return p - lr * step


UPDATES = {
    "sgd": _sgd(0),
    "sgdm": _sgd(0.9),
    "nesterov": _sgd(0.9, nesterov=True),
    "adam": _adam("adam"),
    "adamw": _adam("adamw"),
    "adamax": _adam("adamax"),
    "nadam": _adam("nadam"),
    "rmsprop": _rmsprop(0),
    "rmspropm": _rmsprop(0.9),
    "adagrad": _adagrad,
    "lion": _lion,
}
DECOUPLED = (
    "adamw",
    "lion",
)  # with decoupled weight decay; the others add it to the gradient


def response(recipe: Recipe, rates: list[float], seeds: list[int]) -> list[list[float]]:
    """Return the validation losses after training at every rate: by rate, one for each seed."""
    replicas = Replicas(recipe, seeds, len(rates))
    rate = torch.tensor(rates).repeat(len(seeds))
    for _ in range(recipe.steps):
        replicas.step(rate)
    losses = replicas.held_losses()
    table = [losses[i * len(rates) : (i + 1) * len(rates)] for i in range(len(seeds))]
    return [list(column) for column in zip(*table, strict=True)]


def untrained(recipe: Recipe, seeds: list[int]) -> float:
    """Return the mean validation loss of the fresh models."""
    losses = Replicas(recipe, seeds, 1).held_losses()
    return sum(losses) / len(losses)


def sweeps(recipe: Recipe, ladder: list[float], seeds: list[int]) -> list[list[float]]:
    """Return the raw losses of one range test for each seed, up to the first not finite."""
    replicas = Replicas(recipe, seeds, 1)
    rows = torch.stack([replicas.step(torch.full((len(seeds),), lr)) for lr in ladder], 1)
    kept = []
    for row in rows.tolist():
        end = next((i for i, v in enumerate(row) if not math.isfinite(v)), len(row))
        kept.append(row[:end])
    return kept
