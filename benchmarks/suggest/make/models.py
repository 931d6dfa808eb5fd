"""The models of the made tasks, whose parts can train many replicas at once."""

import itertools
import math

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

ACTIVATIONS = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "silu": nn.SiLU,
}  # fmt: skip


class BatchNorm(nn.Module):
    """Normalises by the batch, also in validation, without statistics across replicas."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        dims = (0, *range(2, x.dim()))
        shape = (1, -1, *[1] * (x.dim() - 2))
        x = (x - x.mean(dims, keepdim=True)) * (
            x.var(dims, keepdim=True, correction=0) + 1e-5
        ).rsqrt()
        return x * self.scale.view(shape) + self.shift.view(shape)


def mlp(
    *widths: int, act: str = "relu", norm: str = "", gain: float = 1.0,
    drop: float = 0.0, last: float = 1.0,
) -> nn.Sequential:  # fmt: skip
    """Return linear layers. `gain` scales their weights, `last` those of the last layer."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        linear = nn.Linear(a, b)
        final = i == len(widths) - 2
        with torch.no_grad():
            linear.weight *= last if final else gain
        layers.append(linear)
        if not final:
            if norm:
                layers.append(BatchNorm(b) if norm == "bn" else nn.LayerNorm(b))
            layers.append(ACTIVATIONS[act]())
            if drop:
                layers.append(nn.Dropout(drop))
    return nn.Sequential(*layers)


class Residual(nn.Module):
    def __init__(self, into: int, width: int, out: int, blocks: int, norm: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(into, width), nn.Linear(width, out)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width) if norm else nn.Identity(),
                nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width),
            )
            for _ in range(blocks)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


class Conv(nn.Module):
    """Convolution as a product of patches: fast for many replicas."""

    def __init__(self, into: int, out: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        like = nn.Conv2d(into, out, size)
        self.weight = nn.Parameter(like.weight.detach().flatten(1))
        self.bias = nn.Parameter(like.bias.detach())
        self.size, self.stride = size, stride

    def forward(self, x: Tensor) -> Tensor:
        pad, size = self.size // 2, self.size
        x = F.pad(x, (pad, pad, pad, pad))
        side = (x.shape[-1] - size) // self.stride + 1
        stop = self.stride * (side - 1) + 1
        patches = torch.stack(
            [
                x[..., i : i + stop : self.stride, j : j + stop : self.stride]
                for i in range(size)
                for j in range(size)
            ],
            2,
        )  # batch, channel, place in patch, row, column
        patches = patches.flatten(1, 2).flatten(2)
        out = self.weight @ patches + self.bias[:, None]
        return out.unflatten(-1, (side, side))


def cnn(channels: int = 8, act: str = "relu", norm: str = "", out: int = 10) -> nn.Sequential:
    """Return a small convolutional network for 8 by 8 images."""
    layers: list[nn.Module] = []
    plan = [(1, channels, 1), (channels, 2 * channels, 2), (2 * channels, 2 * channels, 2)]
    for a, b, stride in plan:
        layers.append(Conv(a, b, stride=stride))
        if norm:
            layers.append(BatchNorm(b))
        layers.append(ACTIVATIONS[act]())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * channels, out))


class Recurrent(nn.Module):
    """A plain, GRU or LSTM cell with one output at the end or one per position."""

    def __init__(
        self,
        cell: str,
        width: int,
        out: int,
        tokens: int = 0,
        *,
        into: int = 1,
        every: bool = False,
    ) -> None:
        super().__init__()
        self.cell, self.every, self.width = cell, every, width
        self.embed = nn.Embedding(tokens, 16) if tokens else nn.Identity()
        gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
        self.x = nn.Linear(16 if tokens else into, gates * width)
        self.h = nn.Linear(width, gates * width)
        for p in (*self.x.parameters(), *self.h.parameters()):
            nn.init.uniform_(p, -1 / math.sqrt(width), 1 / math.sqrt(width))
        self.out = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.x(self.embed(x))
        h = x.new_zeros(x.shape[0], self.width)
        c, states = h, []
        for t in range(x.shape[1]):
            a, b = x[:, t], self.h(h)
            if self.cell == "rnn":
                h = torch.tanh(a + b)
            elif self.cell == "gru":
                (ar, az, an), (br, bz, bn) = a.chunk(3, -1), b.chunk(3, -1)
                z = torch.sigmoid(az + bz)
                h = z * h + (1 - z) * torch.tanh(an + torch.sigmoid(ar + br) * bn)
            else:
                i, f, g, o = (a + b).chunk(4, -1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            if self.every:
                states.append(h)
        return self.out(torch.stack(states, 1) if self.every else h)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, -1)
        )
        score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if self.causal:
            score = score + torch.full(score.shape[-2:], -1e9).triu(1)
        return self.out((score.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Blocks of attention over tokens."""

    def __init__(
        self, out: int, tokens: int, *, length: int = 24, width: int = 32, depth: int = 2,
        causal: bool = False, pool: bool = True, pre: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.place = nn.Parameter(0.1 * torch.randn(length, width))
        self.attend = nn.ModuleList(Attention(width, 4, causal) for _ in range(depth))
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.out, self.pool, self.pre = nn.Linear(width, out), pool, pre

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.place[: x.shape[1]]
        for i, (attend, mix) in enumerate(zip(self.attend, self.mix, strict=True)):
            for part, norm in ((attend, self.norms[2 * i]), (mix, self.norms[2 * i + 1])):
                x = x + part(norm(x)) if self.pre else norm(x + part(x))
        x = self.norms[-1](x)
        return self.out(x.mean(1) if self.pool else x)


class Mixer(nn.Module):
    """Mixes rows and columns of a digit alternately."""

    def __init__(self, out: int = 10, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Linear(8, width)
        self.rows = nn.ModuleList(mlp(8, 16, 8, act="gelu") for _ in range(2))
        self.cols = nn.ModuleList(mlp(width, width, width, act="gelu") for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.out = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.unflatten(-1, (8, 8)))
        for i in range(2):
            x = x + self.rows[i](self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + self.cols[i](self.norms[2 * i + 1](x))
        return self.out(x.mean(1))


class Factors(nn.Module):
    """Matrix factorisation with biases."""

    def __init__(
        self, people: int = 80, things: int = 60, width: int = 4, scale: float = 0.1
    ) -> None:
        super().__init__()
        self.who, self.what = nn.Embedding(people, width), nn.Embedding(things, width)
        with torch.no_grad():
            self.who.weight *= scale
            self.what.weight *= scale

    def forward(self, x: Tensor) -> Tensor:
        return (self.who(x[..., 0]) * self.what(x[..., 1])).sum(-1)


class SkipGram(nn.Module):
    def __init__(self, words: int = 60, width: int = 8, scale: float = 0.1) -> None:
        super().__init__()
        self.one, self.near = nn.Embedding(words, width), nn.Embedding(words, width)
        with torch.no_grad():
            self.one.weight *= scale
            self.near.weight *= scale

    def forward(self, one: Tensor, near: Tensor, others: Tensor) -> Tensor:
        a = self.one(one)
        good = (a * self.near(near)).sum(-1)
        bad = (self.near(others) * a[:, None]).sum(-1)
        return -F.logsigmoid(good).mean() - F.logsigmoid(-bad).sum(-1).mean()


class Vae(nn.Module):
    def __init__(self, width: int = 64, code: int = 6) -> None:
        super().__init__()
        self.into, self.out, self.code = mlp(64, width, 2 * code), mlp(code, width, 64), code

    def forward(self, x: Tensor) -> Tensor:
        mean, spread = self.into(x).chunk(2, -1)
        code = mean + torch.exp(0.5 * spread) * torch.randn_like(mean)
        error = F.mse_loss(torch.sigmoid(self.out(code)), x, reduction="none").sum(-1)
        return (10 * error - 0.5 * (1 + spread - mean**2 - spread.exp()).sum(-1)).mean()


class Flow(nn.Module):
    """Affine coupling layers over the plane; returns the negative log-likelihood."""

    def __init__(self, layers: int = 4, width: int = 32) -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp(1, width, 2, act="tanh") for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x[:, 0])
        for net in self.nets:
            scale, shift = net(x[:, :1]).chunk(2, -1)
            x = torch.cat([x[:, 1:] * torch.tanh(scale).exp() + shift, x[:, :1]], 1)
            total = total + torch.tanh(scale)[:, 0]
        return (0.5 * (x**2).sum(1) + math.log(2 * math.pi) - total).mean()


class Denoiser(nn.Module):
    """Predicts the noise that was added to points, at a random level."""

    def __init__(self, points: int = 2, width: int = 64) -> None:
        super().__init__()
        self.net = mlp(points + 1, width, width, points, act="silu")

    def forward(self, x: Tensor) -> Tensor:
        level, noise = torch.rand_like(x[:, :1]), torch.randn_like(x)
        seen = (1 - level).sqrt() * x + level.sqrt() * noise
        return F.mse_loss(self.net(torch.cat([seen, level], 1)), noise)


class Siren(nn.Module):
    """Layers of sines."""

    def __init__(self, into: int = 1, width: int = 48, out: int = 1, omega: float = 12.0) -> None:
        super().__init__()
        self.layers, self.omega = mlp(into, width, width, out), omega

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sin(self.omega * self.layers[0](x))
        return self.layers[4](torch.sin(3 * self.layers[2](x)))


class Pool(nn.Module):
    """A function of a set: one network for each member, another for their mean."""

    def __init__(self, into: int = 2, width: int = 48) -> None:
        super().__init__()
        self.each, self.whole = mlp(into, width, width), mlp(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(self.each(x).mean(1))


class Contrast(nn.Module):
    """Matches two noisy views of each example in a batch."""

    def __init__(self, width: int = 64, heat: float = 0.3) -> None:
        super().__init__()
        self.net, self.heat = mlp(64, width, 16), heat

    def forward(self, x: Tensor) -> Tensor:
        one, two = (F.normalize(self.net(x + 0.3 * torch.randn_like(x)), dim=-1) for _ in range(2))
        score = one @ two.T / self.heat
        return -(score.log_softmax(-1).diagonal()).mean()
