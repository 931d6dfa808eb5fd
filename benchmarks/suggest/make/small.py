"""Tasks of small data, 60 to 430 rows to train on, most of which a network learns by heart.

They were written down for choosing how `refine` holds out data where there is little of it, after
the unseen tasks had shown that it fails there. None of them is one of the unseen tasks.
"""

from functools import partial as p

from torch import nn

from benchmarks.suggest.make import data, models
from benchmarks.suggest.make.recipes import binary, classify, gaussian, poisson, squares
from benchmarks.suggest.make.train import Recipe

mlp, classes, rings, table, regression = (
    models.mlp,
    data.classes,
    data.rings,
    data.table,
    data.regression,
)
# fmt: off
SMALL = [
    # Classes, some of whose labels are random.
    Recipe("few_classes20_adam_b16", "few", p(classes, 20, 3, 0.2, 160), p(mlp, 20, 64, 64, 3),
        classify, "adam", 16, 400),
    Recipe("few_classes30_sgdm_b32", "few", p(classes, 30, 2, 0.1, 240),
        p(models.Residual, 30, 48, 2, 2), classify, "sgdm", 32, 400),
    Recipe("few_classes12_lion_b32", "few", p(classes, 12, 5, 0.25, 200),
        p(mlp, 12, 64, 5, act="tanh"), classify, "lion", 32, 300, 0.01),
    Recipe("few_classes40_sgd_b16", "few", p(classes, 40, 4, 0.15, 300), p(mlp, 40, 128, 4),
        classify, "sgd", 16, 500),
    # The plane.
    Recipe("few_moons_adamax_b16", "few_plane", p(rings, "moons", 0.4, 120),
        p(mlp, 2, 64, 64, 2), classify, "adamax", 16, 400),
    Recipe("few_circles_rmsprop_b16", "few_plane", p(rings, "circles", 0.25, 160),
        p(mlp, 2, 64, 64, 2, act="gelu"), classify, "rmsprop", 16, 400),
    Recipe("few_board_adam_b32", "few_plane", p(rings, "board", 0.15, 200),
        p(mlp, 2, 64, 64, 2), classify, "adam", 32, 500),
    # Regression.
    Recipe("few_friedman1_nadam_b16", "few_values", p(regression, "friedman1", 1.0, 140),
        p(mlp, 10, 64, 64, 1), squares, "nadam", 16, 400),
    Recipe("few_friedman3_sgd_b16", "few_values", p(regression, "friedman3", 0.5, 220),
        p(mlp, 4, 64, 2), gaussian, "sgd", 16, 500),
    Recipe("few_linear_adam_b16", "few_values", p(regression, "linear", 2.0, 100, 20),
        p(nn.Linear, 20, 1), squares, "adam", 16, 400),
    Recipe("few_linear_nesterov_b20", "few_values", p(regression, "linear", 1.0, 120, 20),
        p(mlp, 20, 64, 1), squares, "nesterov", 20, 300),
    Recipe("few_product_adagrad_b32", "few_values", p(regression, "product", 0.3, 300, 6),
        p(mlp, 6, 64, 64, 1), squares, "adagrad", 32, 500),
    Recipe("few_sine_adam_b16", "few_values", p(regression, "sine", 0.4, 80), p(mlp, 1, 64, 64, 1),
        squares, "adam", 16, 500),
    # Tables.
    Recipe("breast_dropout_adamw_b32", "few_tables", p(table, "breast_cancer"),
        p(mlp, 30, 64, 2, drop=0.3), classify, "adamw", 32, 300, 0.05),
    Recipe("iris_wide_lion_b16", "few_tables", p(table, "iris"), p(mlp, 4, 64, 64, 3),
        classify, "lion", 16, 300),
    Recipe("diabetes_wide_adamw_b32", "few_tables", p(table, "diabetes"),
        p(mlp, 10, 128, 128, 1), squares, "adamw", 32, 500, 0.01),
    Recipe("wine_bn_sgdm_b32", "few_tables", p(table, "wine"), p(mlp, 13, 48, 48, 3, norm="bn"),
        classify, "sgdm", 32, 250),
    # Others.
    Recipe("few_waves_gru_adam_b24", "few_waves", p(data.waves, "next", 16, 160),
        p(models.Recurrent, "gru", 24, 1), squares, "adam", 24, 300),
    Recipe("few_first_lstm_nadam_b24", "few_sequences", p(data.sequences, "first", 8, 240),
        p(models.Recurrent, "lstm", 24, 6, 6), classify, "nadam", 24, 400),
    Recipe("few_counts_sgdm_b16", "few_counts", p(data.counts, 200), p(mlp, 8, 64, 1),
        poisson, "sgdm", 16, 400),
    Recipe("few_tags_adam_b32", "few_tags", p(data.tags, 240), p(mlp, 16, 64, 8),
        binary, "adam", 32, 400),
]
