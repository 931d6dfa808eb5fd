"""Language models of fastai: their loaders cut texts into sequences anew in each pass."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, check_lrs, lr_find, refine
from tests.adapters.test_held_out import short_trials

__all__ = ["short_trials"]

TEXTS, LENGTH = 40, 20


class Next(nn.Module):
    """Tells the next token from one, and notes the texts it has read."""

    trained: ClassVar[set[int]] = set()
    judged: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(TEXTS, TEXTS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        (Next.trained if self.training else Next.judged).update(map(int, tokens.unique()))
        scores: torch.Tensor = self.table(tokens)
        return scores


def loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten())


def texts(count: int, length: int = LENGTH) -> list[Any]:
    """Text i is of token i alone."""
    return [(torch.full((length,), i % TEXTS),) for i in range(count)]


def learner(folder: Path, valid: int = 0) -> Any:
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.text.data import LMDataLoader

    loaders = [LMDataLoader(texts(TEXTS), bs=4, seq_len=7, shuffle=True)]
    if valid:
        loaders.append(LMDataLoader(texts(valid), bs=4, seq_len=7))
    Next.trained.clear()
    Next.judged.clear()
    return Learner(DataLoaders(*loaders, path=folder), Next(), loss_func=loss)


def test_a_large_validation_part_is_read_in_order(folder: Path) -> None:
    one = learner(folder, valid=200)
    assert one.dls.valid.n > 512
    result = refine(one, LRRecords(), 40)
    assert result.held_out == "the first 512 samples at most of learn.dls.valid"
    assert result.held_out_samples == 512
    assert check_lrs(one, [0.01, 0.1], 3).ranked_by == "val_loss"


@pytest.mark.parametrize("held_out", [None, 0.25, range(4)])
def test_whole_texts_are_held_out(held_out: Any, folder: Path) -> None:
    one = learner(folder)
    loader = one.dls.train
    before = {name: value for name, value in vars(loader).items() if name != "rng"}
    idxs = list(loader.items.idxs)
    result = refine(one, LRRecords(), 160, held_out=held_out)
    assert "samples" in result.held_out
    assert result.held_out.endswith(", whose text is read in 512 sequences at most")
    assert Next.judged
    assert not Next.judged & Next.trained
    assert len(Next.trained) > TEXTS / 4
    assert {name: value for name, value in vars(loader).items() if name != "rng"} == before
    assert list(loader.items.idxs) == idxs


def test_too_few_texts_left_are_told(folder: Path) -> None:
    with pytest.raises(ValueError, match="make no batch of 4 sequences"):
        refine(learner(folder), LRRecords(), 40, held_out=range(TEXTS - 1))


def test_a_model_forgets_at_the_beginning_of_each_epoch(folder: Path) -> None:
    from fastai.callback.rnn import ModelResetter

    class Remembering(Next):
        read = 0

        def reset(self) -> None:
            self.read = 0

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            noted.append(self.read)
            self.read += 1
            return super().forward(tokens)

    noted: list[int] = []
    one = learner(folder)
    one.model = Remembering()
    one.add_cb(ModelResetter())
    batches = len(one.dls.train)
    lr_find(one, steps=2 * batches, stop_at_divergence=False, progress=False)
    assert noted == [*range(batches)] * 2
