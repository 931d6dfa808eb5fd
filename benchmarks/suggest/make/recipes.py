"""The recipes: tasks of many families, more than a third of which start slowly."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from benchmarks.suggest.make import data, models
from benchmarks.suggest.make.train import Recipe


def classify(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x), y)


def smoothly(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x), y, label_smoothing=0.1)


def tokens(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def squares(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(model(x), y)


def huber(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.smooth_l1_loss(model(x), y)


def median(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.l1_loss(model(x), y)


def binary(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(x), y)


def poisson(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.poisson_nll_loss(model(x), y)


def hinge(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    return F.multi_margin_loss(model(x), y)


def itself(model: Callable[..., Tensor], x: Tensor, _y: Tensor) -> Tensor:
    return F.mse_loss(model(x), x)


def cleaned(model: Callable[..., Tensor], x: Tensor, _y: Tensor) -> Tensor:
    return F.mse_loss(model(x + 0.4 * torch.randn_like(x)), x)


def own(model: Callable[..., Tensor], x: Tensor, _y: Tensor) -> Tensor:
    """Return the loss of a model that computes it from the inputs alone."""
    return model(x)


def direct(model: Callable[..., Tensor], *columns: Tensor) -> Tensor:
    return model(*columns)


def gaussian(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    mean, spread = model(x).chunk(2, -1)
    return (0.5 * ((y - mean) / spread.exp()) ** 2 + spread).mean()


def scaled(loss: Callable[..., Tensor], by: float) -> Callable[..., Tensor]:
    return lambda *args: by * loss(*args)


RECIPES: list[Recipe] = []


def add(
    family: str, variant: str, source: Callable[[], data.Split], model: Callable[[], nn.Module],
    loss: Callable[..., Tensor], *runs: tuple[str, int, int] | tuple[str, int, int, float],
) -> None:  # fmt: skip
    """Add one recipe for each run: optimizer, batch size, steps and perhaps weight decay."""
    for optimizer, batch, steps, *decay in runs:
        name = f"{family}_{variant}_{optimizer}_b{batch}"
        recipe = Recipe(name, family, source, model, loss, optimizer, batch, steps, *decay)
        RECIPES.append(recipe)


# fmt: off
p = partial
digits, images = (data.digits, p(data.digits, images=True))
classes, rings, table, regression = (data.classes, data.rings, data.table, data.regression)
# Plain classification.
add("plain", "digits2", digits, p(models.mlp, 64, 96, 48, 10),
    classify, ("sgdm", 64, 350), ("adamw", 16, 350, 0.05), ("rmsprop", 128, 300))
add("plain", "classes", p(classes, 30, 5), p(models.mlp, 30, 64, 64, 5),
    classify, ("adam", 32, 400), ("sgd", 16, 500))
add("plain", "wine", p(table, "wine"), p(models.mlp, 13, 32, 3),
    classify, ("adam", 16, 200), ("nesterov", 32, 300))
add("plain", "breast_raw", p(table, "breast_cancer", raw=True), p(models.mlp, 30, 32, 2),
    classify, ("adam", 32, 300))
add("plane", "spirals", p(rings, "spirals"), p(models.mlp, 2, 64, 64, 2),
    classify, ("adam", 64, 500), ("sgdm", 32, 500))
add("plane", "board", p(rings, "board"), p(models.mlp, 2, 64, 64, 2, act="tanh"),
    classify, ("adamw", 64, 500, 0.01), ("rmsprop", 32, 500))
add("plane", "circles", p(rings, "circles", 0.1), p(models.mlp, 2, 16, 2, act="gelu"),
    classify, ("sgdm", 64, 400), ("adagrad", 32, 400))
add("hinge", "digits", digits, p(models.mlp, 64, 64, 10),
    hinge, ("sgdm", 32, 350), ("adam", 64, 350))
add("smooth", "digits", digits, p(models.mlp, 64, 128, 10, act="silu"),
    smoothly, ("sgd", 32, 400), ("adamw", 256, 300, 0.1))
add("linear", "digits", digits, p(nn.Linear, 64, 10),
    classify, ("sgd", 32, 400), ("adam", 64, 400))
add("linear", "raw_digits", p(digits, scale=1.0), p(nn.Linear, 64, 10),
    classify, ("sgdm", 32, 400))
add("linear", "regression", p(regression, "linear"), p(nn.Linear, 10, 1),
    squares, ("sgdm", 32, 500), ("adam", 32, 500), ("rmsprop", 16, 500))
# Noise in the labels, which some models memorise.
add("noisy", "digits40", p(digits, 0.4), p(models.mlp, 64, 256, 10),
    classify, ("adam", 64, 400), ("sgdm", 32, 400), ("adamw", 128, 500, 0.01))
add("noisy", "classes30", p(classes, 20, 4, 0.3, 700), p(models.mlp, 20, 256, 256, 4),
    classify, ("adam", 64, 400), ("rmsprop", 32, 400), ("sgdm", 64, 500))
add("noisy", "classes10", p(classes, 40, 3, 0.1, 400), p(models.mlp, 40, 128, 128, 3, norm="bn"),
    classify, ("adamw", 64, 300, 0.01), ("nesterov", 32, 300))
add("noisy", "moons", p(rings, "moons", 0.5), p(models.mlp, 2, 64, 64, 2),
    classify, ("adam", 16, 500), ("sgd", 8, 500))
add("noisy", "regression", p(regression, "friedman1", 1.0, 500), p(models.mlp, 10, 128, 128, 1),
    squares, ("adam", 32, 400), ("sgdm", 16, 400))
# Regression.
add("regress", "friedman2", p(regression, "friedman2"), p(models.mlp, 4, 64, 64, 1),
    squares, ("adam", 64, 400), ("sgd", 32, 500), ("adagrad", 32, 400))
add("regress", "steps", p(regression, "steps", features=4),
    p(models.mlp, 4, 64, 64, 1, act="tanh"),
    squares, ("adamw", 32, 500, 0.01), ("sgdm", 64, 500))
add("regress", "product", p(regression, "product", features=6), p(models.mlp, 6, 64, 64, 1),
    huber, ("rmsprop", 64, 500), ("nesterov", 32, 500))
add("regress", "diabetes", p(table, "diabetes"), p(models.mlp, 10, 32, 1),
    median, ("adam", 16, 400), ("sgdm", 8, 400))
add("gaussian", "friedman3", p(regression, "friedman3"), p(models.mlp, 4, 64, 2),
    gaussian, ("adam", 32, 400), ("sgd", 32, 500))
add("counts", "poisson", data.counts, p(models.mlp, 8, 64, 1),
    poisson, ("adam", 64, 400), ("sgdm", 32, 400))
add("tags", "several", data.tags, p(models.mlp, 16, 64, 8),
    binary, ("adamw", 32, 400, 0.01), ("sgd", 64, 500))
add("siren", "sine", p(regression, "sine", 0.05), models.Siren,
    squares, ("adam", 64, 500), ("sgd", 64, 500))
# Convolutions.
add("cnn", "plain", images, models.cnn,
    classify, ("adamw", 32, 300, 0.01), ("sgdm", 32, 350), ("sgd", 16, 400))
add("cnn", "bn", images, p(models.cnn, norm="bn"), classify, ("adam", 128, 250))
add("mixer", "digits", digits, models.Mixer, classify, ("sgdm", 64, 350))
# Residual and deep networks.
add("residual", "digits", digits, p(models.Residual, 64, 48, 10, 4),
    classify, ("adamw", 64, 300, 0.01), ("sgd", 32, 300))
add("residual", "classes", p(classes, 25, 6), p(models.Residual, 25, 48, 6, 3, norm=False),
    classify, ("sgdm", 64, 400), ("adam", 128, 300))
add("deep", "bn", digits, p(models.mlp, 64, 48, 48, 48, 48, 48, 10, norm="bn"),
    classify, ("sgdm", 64, 300), ("adam", 64, 300))
add("deep", "tanh", digits, p(models.mlp, 64, 48, 48, 48, 48, 10, act="tanh", gain=1.7),
    classify, ("sgd", 32, 400), ("rmsprop", 64, 300))
add("dropout", "digits", digits, p(models.mlp, 64, 128, 64, 10, drop=0.4),
    classify, ("adam", 32, 400), ("sgdm", 32, 400, 0.0005))
# Slow starters: small or saturated weights, plateaus, problems that are hard to begin to learn.
add("slow", "small_init", digits, p(models.mlp, 64, 64, 64, 10, gain=0.2, last=0.2),
    classify, ("sgd", 32, 500), ("sgdm", 64, 500), ("adam", 64, 400))
add("slow", "sigmoid4", digits, p(models.mlp, 64, 48, 48, 48, 10, act="sigmoid"),
    classify, ("adam", 32, 500), ("rmsprop", 32, 500))
add("slow", "deep_relu", digits, p(models.mlp, 64, 48, 48, 48, 48, 48, 48, 10),
    classify, ("sgd", 16, 500), ("sgdm", 32, 500), ("adam", 32, 400))
add("slow", "scaled", digits, p(models.mlp, 64, 64, 10),
    scaled(classify, 0.02), ("sgd", 32, 400), ("sgdm", 32, 400))
add("slow", "deep_regress", p(regression, "product", features=6),
    p(models.mlp, 6, 48, 48, 48, 48, 1),
    squares, ("sgd", 16, 600), ("sgdm", 32, 500))
add("parity", "4of10", p(data.parity, 10, 4), p(models.mlp, 10, 64, 2),
    classify, ("adam", 32, 600), ("sgdm", 32, 600))
add("parity", "3of12", p(data.parity, 12, 3), p(models.mlp, 12, 96, 2, act="tanh"),
    classify, ("adamw", 64, 600, 0.01), ("sgd", 16, 600))
add("pairs", "digits", data.digit_pairs, p(models.mlp, 128, 128, 64, 10),
    classify, ("adam", 32, 600), ("sgdm", 32, 600))
# Sequences.
add("recurrent", "text_gru", data.text, p(models.Recurrent, "gru", 48, 27, 27, every=True),
    tokens, ("rmsprop", 16, 250))
add("recurrent", "text_lstm", data.text, p(models.Recurrent, "lstm", 48, 27, 27, every=True),
    tokens, ("sgdm", 16, 250), ("adamw", 32, 250, 0.01))
add("recurrent", "text_rnn", data.text, p(models.Recurrent, "rnn", 48, 27, 27, every=True),
    tokens, ("sgd", 16, 250), ("adam", 16, 250))
add("remember", "first_gru", p(data.sequences, "first"), p(models.Recurrent, "gru", 32, 6, 6),
    classify, ("adam", 32, 400), ("sgdm", 32, 500))
add("remember", "first_lstm", p(data.sequences, "first"), p(models.Recurrent, "lstm", 32, 6, 6),
    classify, ("rmsprop", 32, 400))
add("remember", "most_gru", p(data.sequences, "most"), p(models.Recurrent, "gru", 32, 6, 6),
    classify, ("adamw", 32, 400, 0.01), ("sgd", 16, 500))
add("waves", "next_lstm", p(data.waves, "next"), p(models.Recurrent, "lstm", 24, 1),
    squares, ("adam", 32, 350), ("sgdm", 32, 400))
add("waves", "class_gru", p(data.waves, "class"), p(models.Recurrent, "gru", 24, 6),
    classify, ("adamw", 32, 400, 0.01))
add("attention", "text", data.text, p(models.Transformer, 27, 27, causal=True, pool=False),
    tokens, ("adamw", 16, 250, 0.05))
add("attention", "reverse", p(data.sequences, "reverse"),
    p(models.Transformer, 6, 6, pool=False, depth=1),
    tokens, ("adam", 32, 350), ("sgd", 32, 400))
add("attention", "sort_post", p(data.sequences, "sort"),
    p(models.Transformer, 6, 6, pool=False, pre=False),
    tokens, ("adam", 32, 250), ("nesterov", 32, 300))
# Embeddings, codes, densities.
add("factors", "small", data.ratings, p(models.Factors, scale=0.1),
    squares, ("adam", 64, 400), ("sgdm", 64, 500))
add("factors", "large", data.ratings, p(models.Factors, width=8, scale=0.5),
    squares, ("adamw", 128, 400, 0.01), ("sgd", 32, 500), ("adagrad", 64, 400))
add("words", "skipgram", data.words, models.SkipGram,
    direct, ("adam", 64, 400), ("sgd", 32, 500), ("adagrad", 64, 400))
add("codes", "deep", digits, p(models.mlp, 64, 48, 8, 48, 64, act="tanh"),
    itself, ("adam", 32, 400), ("sgdm", 32, 450))
add("codes", "cleaned", digits, p(models.mlp, 64, 96, 64),
    cleaned, ("adamw", 64, 400, 0.01), ("sgd", 32, 500))
add("vae", "digits", digits, models.Vae, own, ("adam", 32, 350), ("rmsprop", 64, 350))
add("flow", "moons", p(rings, "moons", 0.1), models.Flow,
    own, ("adam", 64, 400), ("sgd", 64, 500))
add("denoise", "moons", p(rings, "moons", 0.1), models.Denoiser,
    own, ("adam", 64, 500), ("sgdm", 64, 500))
add("contrast", "digits", digits, models.Contrast, own, ("adam", 64, 300), ("sgdm", 64, 350))
add("graph", "groups", data.graph, p(models.mlp, 16, 32, 4),
    classify, ("adam", 180, 200, 0.0005), ("sgd", 180, 300))
add("sets", "spread", data.sets, models.Pool, huber, ("adam", 32, 400), ("sgdm", 32, 400))
