"""Models of the fresh tasks that the other ones do not have."""

import math

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from benchmarks.suggest.make.models import Attention, mlp


class Categories(nn.Module):
    """A network on the embeddings of several categories."""

    def __init__(self, columns: int, values: int, out: int, width: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(columns * values, width)
        self.register_buffer("first", torch.arange(columns) * values, persistent=False)
        self.net = mlp(columns * width, 48, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.embed(x + self.first).flatten(1))


class Mixture(nn.Module):
    """Returns the negative log-likelihood of targets under a mixture of normal distributions."""

    def __init__(self, width: int = 32, parts: int = 3) -> None:
        super().__init__()
        self.net = mlp(1, width, 3 * parts, act="tanh")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        share, mean, spread = self.net(x).chunk(3, -1)
        each = -0.5 * ((y - mean) / spread.exp()) ** 2 - spread - 0.5 * math.log(2 * math.pi)
        return -(share.log_softmax(-1) + each).logsumexp(-1).mean()


class Patches(nn.Module):
    """Blocks of attention over the two by two patches of a digit."""

    def __init__(self, out: int = 10, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.first, self.place = nn.Linear(4, width), nn.Parameter(0.02 * torch.randn(16, width))
        self.attend = nn.ModuleList(Attention(width, 4, False) for _ in range(depth))
        self.mix = nn.ModuleList(mlp(width, 2 * width, width, act="gelu") for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.out = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        cut = x[:, 0].unflatten(2, (4, 2)).unflatten(1, (4, 2)).transpose(2, 3)
        x = self.first(cut.flatten(1, 2).flatten(2)) + self.place
        for i, (attend, mix) in enumerate(zip(self.attend, self.mix, strict=True)):
            x = x + attend(self.norms[2 * i](x))
            x = x + mix(self.norms[2 * i + 1](x))
        return self.out(self.norms[-1](x).mean(1))


class Context(nn.Module):
    """Predicts a word from the mean of the embeddings around it."""

    def __init__(self, words: int, width: int = 24) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(words, width), nn.Linear(width, words)
        with torch.no_grad():
            self.embed.weight *= 0.3

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.embed(x).mean(1))


class Remainder(nn.Module):
    """A network on the embeddings of two numbers."""

    def __init__(self, of: int = 23, width: int = 24) -> None:
        super().__init__()
        self.embed, self.net = nn.Embedding(of, width), mlp(2 * width, 96, of)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.embed(x).flatten(1))


class Preference(nn.Module):
    """Returns how much more a person likes the one than the other (Rendle et al., 2009)."""

    def __init__(self, people: int = 60, things: int = 80, width: int = 6) -> None:
        super().__init__()
        self.who, self.what = nn.Embedding(people, width), nn.Embedding(things, width)
        with torch.no_grad():
            self.who.weight *= 0.2
            self.what.weight *= 0.2

    def forward(self, who: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return (self.who(who) * (self.what(one) - self.what(other))).sum(-1)


class Embedding(nn.Module):
    """Returns the triplet loss of examples, noisy views of them, and their neighbours."""

    def __init__(self, width: int = 64, code: int = 12) -> None:
        super().__init__()
        self.net = mlp(64, width, code)

    def forward(self, x: Tensor) -> Tensor:
        noise = 0.3 * torch.randn_like(x)
        anchor, same = (F.normalize(self.net(seen), dim=-1) for seen in (x, x + noise))
        far = (anchor - anchor.roll(1, 0)).pow(2).sum(-1)
        near = (anchor - same).pow(2).sum(-1)
        return F.relu(near - far + 0.5).mean()
