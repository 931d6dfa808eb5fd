"""Samples of equal value are held out together, or noticed in the training."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from lrwidget.data.batches import as_loader
from lrwidget.data.equal_samples import Watch, sample_pairs
from lrwidget.data.held_out import held_out_of
from lrwidget.data.private_copy import private_copy

REPEATS = torch.arange(320) % 40
CLASSES = torch.arange(40) * 7 % 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: TensorDataset(REPEATS[:, None].float(), CLASSES[REPEATS]),
        lambda: as_loader((REPEATS[:, None].numpy() / 2, CLASSES[REPEATS].numpy()), 4, None),
        lambda: [(torch.tensor([float(i)]), int(CLASSES[i])) for i in REPEATS.tolist()],
        lambda: [
            {"x": torch.tensor([float(i)]), "label": int(CLASSES[i])} for i in REPEATS.tolist()
        ],
        lambda: Subset(TensorDataset(REPEATS[:, None].float(), CLASSES[REPEATS]), range(300)),
    ],
    ids=["tensors", "arrays", "copies in a list", "copies in dicts", "a subset"],
)
def test_samples_of_equal_value_are_held_out_together(make: Any) -> None:
    data = make()
    loader = data if isinstance(data, DataLoader) else as_loader(data, 4, None, given=True)

    def inputs(batches: Any) -> list[float]:
        fields = (batch["x"] if isinstance(batch, dict) else batch[0] for batch in batches)
        return [float(x) for field in fields for x in field.flatten()]

    held = held_out_of(loader)
    judged = inputs(held.batches())
    with held.left_out_of(private_copy(loader)) as training:
        trained = set(inputs(training))
    assert held.words == "13 of 40 samples, chosen at random"
    assert len(judged) == len(set(judged)) == 13
    assert len(trained) == 27
    assert not set(judged) & trained


BITS = torch.randint(0, 2, (900, 6), generator=torch.Generator().manual_seed(0)).float()
COIN = torch.randint(0, 2, (900,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(BITS, COIN),
        TensorDataset(BITS[:, :2], BITS[:, :2].sum(1)),
        TensorDataset(torch.cat([torch.zeros(300, 6), torch.rand(600, 6)])),
        list(zip(BITS, COIN, strict=True)),
        ["yes", "no"] * 450,
    ],
    ids=["noisy table", "four values", "many blanks", "table in a list", "words"],
)
def test_values_that_are_common_are_no_repeats(data: Any) -> None:
    assert held_out_of(DataLoader(data, 9)).words == "180 of 900 samples, chosen at random"


def repeated(held: Any, trained: Any, **how: Any) -> tuple[int, int]:
    watch = Watch([held], **{"whole": False, **how})
    watch.read([trained])
    return watch.repeated


FLOATS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
IDS = torch.randint(1, 9, (8, 5), generator=torch.Generator().manual_seed(0))
IDS[:, 3:] = 0
NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"]


@pytest.mark.parametrize(
    ("held", "trained"),
    [
        (FLOATS, FLOATS[2:]),
        ((FLOATS, CLASSES[:8]), [FLOATS[2:], CLASSES[2:8]]),
        (([FLOATS, FLOATS], CLASSES[:8]), ([FLOATS[2:], FLOATS[2:]], CLASSES[2:8])),
        ((FLOATS, NAMES), (FLOATS[2:], NAMES[2:])),
        ({"x": FLOATS.numpy(), "y": NAMES}, {"x": FLOATS[2:].numpy(), "y": NAMES[2:]}),
        ((FLOATS.bfloat16(), FLOATS[:, 0].bool()), (FLOATS[2:].bfloat16(), FLOATS[2:, 0].bool())),
        (
            {"input_ids": IDS, "labels": IDS - 100 * (IDS == 0)},
            {"input_ids": IDS[2:, :4], "labels": (IDS - 100 * (IDS == 0))[2:, :4]},
        ),
        (
            ([*FLOATS], [{"box": x, "n": 1} for x in FLOATS]),
            ([*FLOATS[2:]], [{"box": x, "n": 1} for x in FLOATS[2:]]),
        ),
        (NAMES, NAMES[2:]),
    ],
    ids=[
        "a tensor",
        "a pair",
        "two inputs",
        "names",
        "arrays",
        "bfloat16",
        "padded",
        "boxes",
        "texts",
    ],
)
def test_samples_are_known_again_in_other_batches(held: Any, trained: Any) -> None:
    if held is NAMES:
        held, trained = (held, CLASSES[:8]), (trained, CLASSES[2:8])
    assert repeated(held, trained) == (6, 8)


def test_a_sample_with_another_target_is_another_one() -> None:
    assert repeated((FLOATS, CLASSES[:8]), (FLOATS, CLASSES[:8] + 1)) == (0, 8)
    # Where an input has several targets, they are not learned by heart.
    both = torch.cat([FLOATS, FLOATS]), torch.cat([CLASSES[:8], CLASSES[:8] + 1])
    assert repeated((FLOATS, CLASSES[:8]), both) == (0, 8)


def test_batches_that_show_no_samples_are_compared_as_a_whole() -> None:
    sample = FLOATS, torch.tensor(1)  # rows of one picture are no samples
    assert repeated(sample, sample) == (1, 1)
    assert repeated(sample, (FLOATS.flip(0), torch.tensor(1))) == (0, 1)
    assert repeated(FLOATS, FLOATS.flip(0), whole=True) == (0, 1)
    assert repeated(FLOATS, FLOATS.flip(0)) == (8, 8)


@pytest.mark.parametrize(
    "batch",
    [
        object(),
        (FLOATS.to("meta"), CLASSES[:8]),
        FLOATS.to_sparse(),
        [FLOATS, [object()] * 8],
    ],
    ids=["an object", "a device", "sparse", "objects"],
)
def test_what_cannot_be_compared_at_no_cost_is_not(batch: Any) -> None:
    assert sample_pairs(batch) is None
    assert repeated(batch, (FLOATS, CLASSES[:8])) == (0, 0)
    assert repeated((FLOATS, CLASSES[:8]), batch) == (0, 8)


@pytest.mark.parametrize("batch", [None, 3, "text", [], {}, (), torch.empty(0, 3), torch.tensor(3)])
def test_any_batch_may_be_looked_at(batch: Any) -> None:
    assert repeated(batch, batch)[1] <= 1


def test_steps_are_looked_at_while_they_are_read() -> None:
    class Step:
        batches: Any = iter([FLOATS[:4], FLOATS[4:]])

    step, watch = Step(), Watch([FLOATS], whole=False, lazily=True)
    watch.read([step])
    assert watch.repeated == (0, 8)
    assert len(next(step.batches)) == 4
    assert watch.repeated == (4, 8)
    # As of Transformers: a list of batches, and how many items they have.
    step.batches = iter([[{"x": FLOATS[4:6]}, {"x": FLOATS[6:]}], 4])
    watch.read([step])
    assert list(step.batches)[1] == 4
    assert watch.repeated == (8, 8)


def test_each_place_of_a_trial_is_looked_at_once() -> None:
    watch = Watch([FLOATS], whole=False)
    watch.read([FLOATS[:2]])
    watch.begin(0)
    watch.read([FLOATS[2:4], FLOATS[4:6]])  # the first was looked at before
    assert watch.repeated == (4, 8)
