"""The words for what was given."""

import numpy as np
import pytest

from lrwidget import LRRecords, check_lrs, lr_find, refine
from lrwidget.text.articles import a, a_kind


@pytest.mark.parametrize(
    "words",
    [
        *("an int", "an object", "an ndarray", "an Adam", "an SGD", "an LRRecords", "an MLP"),
        *("a list", "a UNet", "a Unet", "a NoneType", "a DataLoader", "a DDP", "a MyNet"),
        *("an UnpicklingError", "an UpSampler", "an UninitializedParameter", "an Hourglass"),
        *("an L1Loss", "an RMSprop", "an LSTM", "a SAM", "a LAMB", "a SOAP", "a ResNet"),
        *("a OneCycleLR", "a EuclideanLoss", "a Uniform", "a UserDict", "a uint8", "a HuberLoss"),
    ],
)
def test_a_class_has_the_article_of_its_name(words: str) -> None:
    assert a(words.split()[1]) == words


def test_errors_say_it_so() -> None:
    assert [a_kind(value) for value in (3, [], np.ones(2))] == ["an int", "a list", "an ndarray"]
    with pytest.raises(TypeError, match="model is an int;"):
        lr_find(3)
    with pytest.raises(TypeError, match="model is an ndarray;"):
        check_lrs(np.ones(2), [1e-3])
    with pytest.raises(TypeError, match="model is an LRRecords;"):
        refine(LRRecords())
