"""Models of the unseen tasks that the made ones do not have."""

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from benchmarks.suggest.make.models import Conv, Recurrent, mlp


class Highway(nn.Module):
    """Layers whose gates pass their input through, almost all of it at first."""

    def __init__(self, into: int, width: int, out: int, layers: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(into, width), nn.Linear(width, out)
        self.layers = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        with torch.no_grad():
            for layer in self.layers:
                layer.bias[width:] = -1

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            new, gate = layer(x).chunk(2, -1)
            gate = torch.sigmoid(gate)
            x = gate * torch.relu(new) + (1 - gate) * x
        return self.last(x)


class Ranker(nn.Module):
    """Scores two inputs with one network; the difference is a logit."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.net = mlp(*widths)

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        return (self.net(one) - self.net(two)).squeeze(-1)


class Siamese(nn.Module):
    """Embeds two inputs with one network and compares them."""

    def __init__(self, into: int = 64, width: int = 64, code: int = 16) -> None:
        super().__init__()
        self.net, self.last = mlp(into, width, code), nn.Linear(code, 1)

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        return self.last((self.net(one) - self.net(two)).abs()).squeeze(-1)


class RowReader(nn.Module):
    """Reads a picture row by row."""

    def __init__(self, cell: str, width: int, out: int, columns: int = 8) -> None:
        super().__init__()
        self.net, self.columns = Recurrent(cell, width, out, into=columns), columns

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.unflatten(-1, (-1, self.columns)))


class Cleaner(nn.Module):
    """Convolutions that predict the noise of an image."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(
            Conv(1, channels), nn.ReLU(), Conv(channels, channels), nn.ReLU(), Conv(channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x - self.net(x)


class Taps(nn.Module):
    """A causal convolution over time, for (batch, time, channels)."""

    def __init__(self, into: int, out: int, size: int, gap: int = 1) -> None:
        super().__init__()
        self.linear, self.size, self.gap = nn.Linear(into * size, out), size, gap

    def forward(self, x: Tensor) -> Tensor:
        length, reach = x.shape[1], self.gap * (self.size - 1)
        x = F.pad(x, (0, 0, reach, 0))
        seen = [x[:, i * self.gap : i * self.gap + length] for i in range(self.size)]
        return self.linear(torch.cat(seen, -1))


class Temporal(nn.Module):
    """Dilated convolutions over time; the output is from the last step or the maximum."""

    def __init__(
        self, into: int, width: int, out: int, *, size: int = 3, layers: int = 3,
        tokens: int = 0, largest: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed = nn.Embedding(tokens, into) if tokens else nn.Identity()
        self.layers = nn.ModuleList(
            Taps(width if i else into, width, size, 2**i) for i in range(layers)
        )
        self.last, self.largest = nn.Linear(width, out), largest

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.last(x.amax(1) if self.largest else x[:, -1])


class Bag(nn.Module):
    """A linear model on the mean of letters' embeddings and of their pairs' products."""

    def __init__(self, tokens: int, width: int, out: int) -> None:
        super().__init__()
        self.embed, self.last = nn.Embedding(tokens, width), nn.Linear(2 * width, out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.last(torch.cat([x.mean(1), (x[:, 1:] * x[:, :-1]).mean(1)], -1))


class Window(nn.Module):
    """A network on the concatenated embeddings of the last tokens."""

    def __init__(self, tokens: int, length: int, width: int = 12, hidden: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.net = mlp(length * width, hidden, tokens, act="tanh")

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.embed(x).flatten(1))


class Links(nn.Module):
    """Predicts meetings of two people from the product of their embeddings."""

    def __init__(self, people: int = 77, width: int = 8, scale: float = 0.05) -> None:
        super().__init__()
        self.embed, self.bias = nn.Embedding(people, width), nn.Parameter(torch.zeros(1))
        with torch.no_grad():
            self.embed.weight *= scale

    def forward(self, x: Tensor) -> Tensor:
        return (self.embed(x[..., 0]) * self.embed(x[..., 1])).sum(-1) + self.bias
