"""Batches are copied whatever their structure, and a written copy is told from an unwritten one."""

import copy
import dataclasses
import types
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from lrwidget.data.copies import Copies, Unharmed, copied, deep_copied

Pair = namedtuple("Pair", "x y")


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    name: str = "one"


@dataclasses.dataclass(slots=True)
class Slots:
    x: torch.Tensor


class Record:
    __slots__ = ("batch", "number")

    def __init__(self, batch: Any, number: int) -> None:
        self.batch = batch
        self.number = number


class Encoding(UserDict):  # type: ignore[type-arg]
    """A mapping that moves itself, as the batches of tokenizers do."""

    def to(self, device: Any) -> "Encoding":
        self.data = {name: value.to(device) for name, value in self.data.items()}
        return self


class Moving:
    """A batch of one's own, as in the documentation of DataLoader."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def to(self, device: Any) -> "Moving":
        self.x = self.x.to(device)
        return self


class Graph(Moving):
    """Keeps its tensors where only its own methods find them."""

    def __init__(self, x: Any) -> None:
        self._store = types.SimpleNamespace(x=x)

    @property
    def x(self) -> Any:  # type: ignore[override]
        return self._store.x

    def clone(self) -> "Graph":
        return Graph(self.x.clone())


class Stubborn(Moving):
    def __copy__(self) -> "Stubborn":
        raise RuntimeError("there is only one")


def ones() -> torch.Tensor:
    return torch.ones(2, 3)


BATCHES: dict[str, tuple[Any, Any]] = {
    "tensor": (ones, lambda b: b),
    "list": (lambda: [ones(), 3], lambda b: b[0]),
    "tuple": (lambda: ("a", (ones(), None)), lambda b: b[1][0]),
    "namedtuple": (lambda: Pair(ones(), 1), lambda b: b.x),
    "dict": (lambda: {"a": {"b": [ones()]}}, lambda b: b["a"]["b"][0]),
    "ordered": (lambda: OrderedDict(x=ones()), lambda b: b["x"]),
    "defaultdict": (lambda: defaultdict(list, x=[ones()]), lambda b: b["x"][0]),
    "encoding": (lambda: Encoding(x=ones()), lambda b: b["x"]),
    "dataclass": (lambda: Frozen(ones()), lambda b: b.x),
    "slots": (lambda: Slots(ones()), lambda b: b.x),
    "record": (lambda: Record({"x": ones()}, 4), lambda b: b.batch["x"]),
    "moving": (lambda: Moving([ones()]), lambda b: b.x[0]),
    "graph": (lambda: Graph(ones()), lambda b: b.x),
    "array": (lambda: {"x": np.ones((2, 3))}, lambda b: b["x"]),
    "packed": (lambda: pack_sequence([torch.ones(3), torch.ones(2)]), lambda b: b.data),
}
EACH = pytest.mark.parametrize("name", BATCHES)


@EACH
def test_what_is_written_to_a_copy_does_not_reach_the_batch(name: str) -> None:
    make, inside = BATCHES[name]
    batch = make()
    copies = Copies()
    made = copies.of(batch)
    assert type(made) is type(batch)
    assert copies.written() is (
        name == "graph"
    )  # what is copied by its own method is not looked at
    assert (inside(made) == 1).all()
    inside(made)[:] = 7
    assert (inside(batch) == 1).all()
    assert copies.written()


@EACH
def test_batches_are_given_as_they_are_where_nothing_writes_to_them(name: str) -> None:
    batches = [BATCHES[name][0]() for _ in range(3)]
    unharmed = Unharmed()
    assert all(new is not old for new, old in zip(unharmed(batches), batches, strict=True))
    again = [new is old for new, old in zip(unharmed(batches), batches, strict=True)]
    assert again == [name != "graph"] * 3


@EACH
def test_batches_are_copied_each_time_where_one_was_written_to(name: str) -> None:
    make, inside = BATCHES[name]
    batches = [make() for _ in range(3)]
    unharmed = Unharmed()
    for _ in range(3):
        for number, batch in enumerate(unharmed(batches)):
            assert (inside(batch) == 1).all()
            if number == 2:
                inside(batch)[:] = 5


WRITES: dict[str, Any] = {
    "in place": lambda x: x.mul_(2),
    "to the data": lambda x: x.data.mul_(2),
    "by numpy": lambda x: np.multiply(x.numpy(), 2, out=x.numpy()),
    "the shape": lambda x: x.unsqueeze_(1),
    "in inference mode": torch.inference_mode()(lambda x: x.mul_(2)),
}


@pytest.mark.parametrize("how", WRITES)
def test_every_way_of_writing_to_a_tensor_shows(how: str) -> None:
    copies = Copies()
    WRITES[how](copies.of((ones(), 1))[0])
    assert copies.written()


def test_what_is_taken_out_of_a_mapping_that_moves_itself_shows() -> None:
    copies = Copies()
    batch = Encoding(x=ones(), labels=ones())
    copies.of(batch).pop("labels")
    assert copies.written()
    assert set(batch) == {"x", "labels"}
    copies = Copies()
    copies.of(batch)["x"] = ones()
    assert copies.written()


def test_a_tensor_that_is_input_and_target_is_so_in_the_copy() -> None:
    x = ones()
    made = copied([x, {"target": x}])
    assert made[0] is made[1]["target"]
    assert made[0] is not x


def test_a_copy_is_like_its_tensor() -> None:
    x = torch.ones(1, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    x.sizes = [4]  # type: ignore[attr-defined]
    made = copied(x)
    assert made.is_leaf
    assert made.requires_grad
    assert made.stride() == x.stride()
    assert made.sizes == [4]
    part = torch.ones(1000, 2)[:3]
    assert copied(part).untyped_storage().nbytes() == 3 * 2 * 4


def test_of_sparse_and_nested_tensors_it_is_not_known() -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    for value in (ones().to_sparse(), nested):
        copies = Copies()
        assert copies.of([value])[0] is not value
        assert isinstance(copies.written(), bool)


def test_other_objects_and_values_are_the_same_ones() -> None:
    model, loop = torch.nn.Linear(2, 2), [1]
    loop.append(loop)  # type: ignore[arg-type]
    values = [model, torch.float32, "text", None, 3.5, {1, 2}, types.SimpleNamespace(x=ones()), int]
    assert all(new is old for new, old in zip(copied(values), values, strict=True))
    assert copied(("a", 1, torch.Size([2]))) == ("a", 1, torch.Size([2]))
    made = copied(loop)
    assert made[1] is made
    one = Stubborn(ones())
    assert copied((one, ones()))[0] is one
    with pytest.raises(RuntimeError, match="only one"):
        copy.copy(one)
    assert isinstance(copied(pack_sequence([torch.ones(3)])), PackedSequence)


@EACH
def test_a_deep_copy_is_whole_whatever_the_structure(name: str) -> None:
    make, inside = BATCHES[name]
    batch = make()
    made = deep_copied(batch)
    assert type(made) is type(batch)
    inside(made)[:] = 7
    assert (inside(batch) == 1).all()


def views_of_samples() -> dict[str, torch.Tensor]:
    samples = torch.arange(4000, dtype=torch.float32).reshape(100, 40)
    return {
        "rows": samples[7:9],
        "columns": samples[50:53, 3:8],
        "transposed": samples[20:24].t(),
        "every other": samples[5:15:2],
        "repeated": samples[3].expand(4, 40),
        "bytes": samples[9:11].view(torch.uint8),
        "one": samples[99, 39],
        "none": samples[5:5],
        "whole": samples[:],
    }


@pytest.mark.parametrize("name", views_of_samples())
def test_a_deep_copy_of_a_view_is_like_it_and_no_longer_than_what_it_spans(name: str) -> None:
    view = views_of_samples()[name]
    made = deep_copied((view, 3))[0]
    assert torch.equal(made, view)
    assert (made.stride(), made.dtype) == (view.stride(), view.dtype)
    assert (made.data_ptr() - view.data_ptr()) % 64 == 0 or not view.numel()
    assert made.untyped_storage().data_ptr() != view.untyped_storage().data_ptr()
    if name not in ("none", "whole"):
        assert made.untyped_storage().nbytes() <= 10 * 40 * 4 + 64


def test_views_that_overlap_do_so_in_the_deep_copy() -> None:
    text = torch.arange(1000)
    inputs, targets = made = deep_copied([text[100:200], text[101:201]])
    inputs[1] = -1
    assert targets[0] == -1
    assert torch.equal(text, torch.arange(1000))
    assert torch.equal(made[1][1:], text[102:201])


def test_a_view_shares_its_samples_with_them_in_the_deep_copy_too() -> None:
    samples = torch.arange(1000.0)
    leaf = torch.zeros(100, requires_grad=True)
    made = deep_copied(
        {"all": samples, "some": samples[3:9], "leaf": leaf, "no": leaf.detach()[:5]}
    )
    with torch.no_grad():
        made["all"].mul_(2)
        made["leaf"].add_(1)
    assert made["some"].tolist() == [6, 8, 10, 12, 14, 16]
    assert made["no"].tolist() == [1] * 5
    assert samples[3] == 3
    assert (leaf == 0).all()


def test_arrays_that_begin_at_one_address_are_deep_copied_each() -> None:
    samples = np.arange(1000.0)
    first, second = torch.from_numpy(samples[:20])[4:8], torch.from_numpy(samples)[500:600]
    made = deep_copied([first, second])
    assert torch.equal(made[0], first)
    assert torch.equal(made[1], second)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage")
def test_a_quantised_view_is_deep_copied_with_its_scale() -> None:
    samples = torch.quantize_per_tensor(torch.rand(100, 4), 0.1, 3, torch.quint8)
    made = deep_copied([samples[3:7]])[0]
    assert torch.equal(made.dequantize(), samples[3:7].dequantize())


class Partly(MutableMapping[str, Any]):
    """Has a field that cannot be read."""

    def __init__(self) -> None:
        self.fields = {"x": torch.ones(3), "of no use": None}

    def __getitem__(self, name: str) -> Any:
        if self.fields[name] is None:
            raise RuntimeError("it was not loaded")
        return self.fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.fields[name] = value

    def __delitem__(self, name: str) -> None:
        del self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


def test_a_mapping_whose_fields_cannot_all_be_read_is_deep_copied() -> None:
    batch = Partly()
    made = deep_copied(batch)
    made["x"].zero_()
    assert (batch["x"] == 1).all()
