"""Tasks for scoring the rule once: 32 tasks that were fixed before any of them was run.

They were chosen by description, with data, models and pairings that the other sets do not have.
Curves, best rates and suggestions were not known before, and no task was replaced or changed
afterwards. Tasks whose best rate gains less than 5% are left out, as in the other sets. This list
therefore has more slow starters than the final set.
"""

import itertools
from collections.abc import Callable
from functools import partial as p

import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from benchmarks.suggest.make import models, unseen_data, unseen_models
from benchmarks.suggest.make.data import digits, table
from benchmarks.suggest.make.recipes import binary, classify, itself, squares, tokens
from benchmarks.suggest.make.train import Recipe


def compared(model: Callable[..., Tensor], one: Tensor, two: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(one, two), y)


def linear(*widths: int) -> nn.Sequential:
    """Return linear layers with nothing between them."""
    return nn.Sequential(*itertools.starmap(nn.Linear, itertools.pairwise(widths)))


mlp, iris = models.mlp, p(table, "iris")
GATED = p(models.Recurrent, "gru", 24, 2, into=2, every=True)
SIGMOID_CODES = p(mlp, 64, 40, 24, 10, 24, 40, 64, act="sigmoid")
# fmt: off
UNSEEN = [
    # Tables.
    Recipe("iris_tanh_adagrad_b16", "iris", iris, p(mlp, 4, 24, 3, act="tanh"),
        classify, "adagrad", 16, 250),
    Recipe("wine_highway_lion_b32", "highway", p(table, "wine"),
        p(unseen_models.Highway, 13, 32, 3, 4), classify, "lion", 32, 250, 0.01),
    Recipe("wine_colour_adamax_b16", "wine", unseen_data.wine_colour, p(mlp, 12, 32, 32, 1),
        squares, "adamax", 16, 350),
    Recipe("breast_codes_nadam_b32", "codes", unseen_data.measurements,
        p(mlp, 30, 16, 3, 16, 30, act="tanh"), itself, "nadam", 32, 400),
    Recipe("diabetes_ranks_adam_b32", "ranks", unseen_data.worse,
        p(unseen_models.Ranker, 10, 32, 1), compared, "adam", 32, 350),
    Recipe("digits_kernel_nesterov_b64", "kernel", unseen_data.digit_waves, p(nn.Linear, 300, 10),
        classify, "nesterov", 64, 400),
    Recipe("digits_rows_gru_nadam_b32", "rows", digits, p(unseen_models.RowReader, "gru", 32, 10),
        classify, "nadam", 32, 350),
    Recipe("digits_turns_cnn_nesterov_b32", "turns", unseen_data.digit_turns, p(models.cnn, out=4),
        classify, "nesterov", 32, 300),
    Recipe("digits_twins_sgdm_b64", "twins", unseen_data.digit_twins, unseen_models.Siamese,
        compared, "sgdm", 64, 500),
    # Pictures, terrain, signals.
    Recipe("photo_waves_adam_b128", "photo", p(unseen_data.photo_points, 32),
        p(mlp, 64, 64, 64, 3), squares, "adam", 128, 400),
    Recipe("photo_places_sgdm_b128", "photo", unseen_data.photo_points,
        p(mlp, 2, 64, 64, 64, 3), squares, "sgdm", 128, 500),
    Recipe("photo_which_cnn_rmsprop_b32", "which", unseen_data.which_photo,
        p(models.cnn, out=3), classify, "rmsprop", 32, 300),
    Recipe("photo_finer_adamw_b32", "finer", unseen_data.finer_photo, p(mlp, 16, 64, 64),
        squares, "adamw", 32, 400, 0.01),
    Recipe("scan_cleaner_adamax_b32", "cleaner", p(unseen_data.scan, 0.5),
        unseen_models.Cleaner, squares, "adamax", 32, 250),
    Recipe("terrain_silu_rmspropm_b64", "terrain", unseen_data.terrain,
        p(mlp, 2, 48, 48, 1, act="silu"), squares, "rmspropm", 64, 500),
    Recipe("profile_temporal_nadam_b32", "temporal", unseen_data.profiles,
        p(unseen_models.Temporal, 1, 24, 1), squares, "nadam", 32, 350),
    Recipe("eeg_lstm_adamw_b32", "eeg", unseen_data.eeg,
        p(models.Recurrent, "lstm", 24, 4, into=4), squares, "adamw", 32, 300, 0.01),
    Recipe("chords_temporal_lion_b32", "temporal", unseen_data.chords,
        p(unseen_models.Temporal, 1, 16, 6, size=5, largest=True), binary, "lion", 32, 300, 0.01),
    # Text.
    Recipe("names_bag_adagrad_b64", "names", unseen_data.names, p(unseen_models.Bag, 28, 24, 5),
        classify, "adagrad", 64, 500),
    Recipe("names_temporal_adam_b32", "names", unseen_data.names,
        p(unseen_models.Temporal, 12, 24, 5, layers=2, tokens=28, largest=True),
        classify, "adam", 32, 300),
    Recipe("source_window_nesterov_b64", "source", p(unseen_data.source, 8, last=True),
        p(unseen_models.Window, 96, 8), classify, "nesterov", 64, 500),
    # Slow starters: saturated, deep, of small initial weights, or hard to begin to learn.
    Recipe("iris_sigmoid4_sgdm_b16", "iris", iris, p(mlp, 4, 16, 16, 16, 3, act="sigmoid"),
        classify, "sgdm", 16, 600),
    Recipe("diabetes_linear4_sgd_b32", "deep linear", p(table, "diabetes"),
        p(linear, 10, 24, 24, 24, 1),
        squares, "sgd", 32, 500),
    Recipe("photo_which_tanh8_sgd_b32", "deep which", p(unseen_data.which_photo, flat=True),
        p(mlp, 64, *[32] * 8, 3, act="tanh"), classify, "sgd", 32, 500),
    Recipe("scan_sigmoid_codes_adam_b32", "codes", p(unseen_data.scan, flat=True),
        SIGMOID_CODES, squares, "adam", 32, 500),
    Recipe("chirps_rnn_sgdm_b32", "chirps", unseen_data.chirps, p(models.Recurrent, "rnn", 24, 2),
        classify, "sgdm", 32, 400),
    Recipe("names_lstm_rmsprop_b32", "names", unseen_data.names,
        p(models.Recurrent, "lstm", 24, 5, 28), classify, "rmsprop", 32, 300),
    Recipe("source_post_sgdm_b16", "post", unseen_data.source,
        p(models.Transformer, 96, 96, depth=3, causal=True, pool=False, pre=False),
        tokens, "sgdm", 16, 200),
    Recipe("sums_gru_adam_b32", "sums", unseen_data.sums, GATED, tokens, "adam", 32, 500),
    Recipe("larger_transformer_adamw_b32", "larger", unseen_data.larger,
        p(models.Transformer, 2, 10), classify, "adamw", 32, 350, 0.01),
    Recipe("recall_transformer_nadam_b32", "recall", unseen_data.recall,
        p(models.Transformer, 6, 12), classify, "nadam", 32, 400),
    Recipe("meetings_links_sgd_b32", "links", unseen_data.meetings, unseen_models.Links,
        binary, "sgd", 32, 600),
]
