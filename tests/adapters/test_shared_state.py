"""State that other libraries keep in loaders, collators and shared objects is restored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from tests.adapters.case import forget_accelerate

pytestmark = pytest.mark.framework

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
SAMPLES = torch.utils.data.TensorDataset(X, X[:, :1])
OPTIONS: dict[str, Any] = {"start_lr": 1e-5, "end_lr": 1e-3, "steps": 11, "progress": False}


@pytest.fixture
def accelerator() -> Iterator[Any]:
    accelerate = pytest.importorskip("accelerate")
    forget_accelerate()
    yield accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    forget_accelerate()


def test_a_step_of_ones_own_with_an_accelerator(accelerator: Any) -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = torch.utils.data.DataLoader(SAMPLES, 8, shuffle=True)
    model, prepared, loader = accelerator.prepare(model, optimizer, loader)

    def step(batch: Any) -> torch.Tensor:
        with accelerator.accumulate(model):
            loss = nn.functional.mse_loss(model(batch[0]), batch[1])
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        return loss

    def state() -> Any:
        shared = {
            name: list(value) if isinstance(value, list) else value
            for name, value in vars(accelerator.gradient_state).items()
        }
        own = accelerator.step, accelerator.even_batches
        return shared, own, loader.iteration, loader.end_of_dataloader, loader.remainder

    for _ in range(3):  # in the middle of an accumulation
        with accelerator.accumulate(model):
            pass
    before = state()
    assert accelerator.step == 3
    assert before[0]["sync_gradients"] is False
    lr_find(TrainingTask(model, optimizer, data=loader, step=step), **OPTIONS)
    assert state() == before
    lr_find(model, prepared, nn.functional.mse_loss, loader, **OPTIONS)
    assert state() == before


def test_even_batches_of_a_sharded_sampler(accelerator: Any) -> None:
    shard = pytest.importorskip("accelerate.data_loader").BatchSamplerShard

    class Uneven(shard):  # type: ignore[misc, valid-type]
        """Sets what `join_uneven_inputs` sets."""

        def __iter__(self) -> Iterator[Any]:
            self.even_batches = False
            return iter(super().__iter__())

    inner = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(SAMPLES), 8, False)
    sampler = Uneven(inner, num_processes=2, process_index=0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = torch.utils.data.DataLoader(SAMPLES, batch_sampler=sampler)
    lr_find(model, optimizer, nn.functional.mse_loss, loader, **OPTIONS)
    assert sampler.even_batches is True


class Words(torch.utils.data.Dataset[dict[str, Any]]):
    """Token ids, drawn anew each time they are asked for."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = torch.randint(0, 50, (6,), generator=self.generator)
        return {"input_ids": ids, "labels": index % 3}


class Collator:
    """Like that of sentence-transformers, it remembers the columns it has warned about."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self._warned_columns: set[tuple[str, ...]] = set()

    def __call__(self, samples: list[Any]) -> Any:
        self._warned_columns.add(tuple(samples[0]))
        return self.collate(samples)


@pytest.mark.parametrize("form", ["trainer", "model", "model in place"])
def test_what_a_model_of_transformers_and_its_collator_note(tmp_path: Path, form: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(config)
    data = Words()
    collator = Collator(transformers.default_data_collator)
    before = data.generator.get_state()
    if form == "trainer":
        arguments = transformers.TrainingArguments(
            str(tmp_path), report_to=[], use_cpu=True, per_device_train_batch_size=8
        )
        trainer = transformers.Trainer(model, arguments, train_dataset=data, data_collator=collator)
        lr_find(trainer, **OPTIONS)
        forget_accelerate()
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = torch.utils.data.DataLoader(data, 8, collate_fn=collator)
        snapshot: Any = "auto" if form == "model" else "device"
        lr_find(model, optimizer, None, loader, snapshot=snapshot, **OPTIONS)
    assert config.problem_type is None
    assert collator._warned_columns == set()
    assert torch.equal(data.generator.get_state(), before)


def test_the_collator_of_sentence_transformers() -> None:
    module = pytest.importorskip("sentence_transformers.base.data_collator")
    collator = next(
        cls
        for cls in vars(module).values()
        if isinstance(cls, type) and "_warned_columns" in getattr(cls, "__annotations__", {})
    )

    class Warned(collator):  # type: ignore[misc, valid-type]
        def __call__(self, features: list[Any]) -> Any:
            self._warned_columns.add(("label", "text"))
            return torch.utils.data.default_collate(features)

    collate = Warned(preprocess_fn=lambda texts: texts)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = torch.utils.data.DataLoader(SAMPLES, 8, collate_fn=collate)
    lr_find(model, optimizer, nn.functional.mse_loss, loader, **OPTIONS)
    assert collate._warned_columns == set()


def test_transforms_that_draw_and_count() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")

    class Jitter(v2.Transform):  # type: ignore[misc, name-defined]
        """A transform is a module, with a generator and a running mean of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.generator = torch.Generator().manual_seed(0)
            self.register_buffer("mean", torch.zeros(1))
            self.params: dict[str, Any] = {}

        def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
            self.mean += 1
            self.params["last"] = torch.randn((), generator=self.generator)
            return inpt + 0.01 * self.params["last"]

    class Pictures(torch.utils.data.Dataset[Any]):
        def __init__(self, jitter: Any) -> None:
            self.transform = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomChoice([jitter])])

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            return self.transform(X[index].reshape(1, 2, 2)).reshape(4), X[index, :1]

    jitter = Jitter()
    before = jitter.generator.get_state()
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lr_find(model, optimizer, nn.functional.mse_loss, Pictures(jitter), **OPTIONS)
    assert torch.equal(jitter.generator.get_state(), before)
    assert (jitter.mean.item(), jitter.params) == (0, {})


def test_streams_of_datasets_and_webdataset() -> None:
    datasets = pytest.importorskip("datasets")
    webdataset = pytest.importorskip("webdataset")
    rows = [{"x": row.tolist(), "y": row[:1].tolist()} for row in X]
    stream = datasets.Dataset.from_list(rows).to_iterable_dataset().shuffle(seed=3, buffer_size=16)
    stream.set_epoch(2)

    def collate(samples: list[Any]) -> Any:
        return torch.tensor([s["x"] for s in samples]), torch.tensor([s["y"] for s in samples])

    shuffled = webdataset.filters.detshuffle(16)
    pipeline = webdataset.DataPipeline(webdataset.SimpleShardList(["a"]), shuffled)

    class Samples(torch.utils.data.IterableDataset[Any]):
        def __init__(self) -> None:
            self.pipeline = pipeline

        def __iter__(self) -> Iterator[Any]:
            assert [sample["url"] for sample in self.pipeline] == ["a"]
            yield from SAMPLES

    before = shuffled.epoch
    optimizer: Any = torch.optim.SGD
    for data in (
        torch.utils.data.DataLoader(stream, 8, collate_fn=collate),
        torch.utils.data.DataLoader(Samples(), 8),
    ):
        lr_find(nn.Linear(4, 1), optimizer, nn.functional.mse_loss, data, **OPTIONS)
    assert int(stream.epoch) == 2
    assert shuffled.epoch == before
    list(pipeline)
    assert shuffled.epoch != before


def test_what_methods_of_a_trainer_change_before_the_first_step(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    forget_accelerate()

    class Ordered(torch.utils.data.Dataset[dict[str, Any]]):
        def __init__(self) -> None:
            self.order = list(range(len(X)))

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> dict[str, Any]:
            x = X[self.order[index]]
            return {"x": x, "labels": x[:1]}

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor]:
            return (nn.functional.mse_loss(self.layer(x), labels),)

    class Calls:
        def __init__(self) -> None:
            self.count = 0

    class Trainer(transformers.Trainer):  # type: ignore[misc, name-defined]
        def get_train_dataloader(self) -> Any:
            self.train_dataset.order.reverse()
            self.calls.count += 1
            return super().get_train_dataloader()

        def create_optimizer(self, *args: Any) -> Any:
            self.calls.count += 1
            return super().create_optimizer(*args)

    arguments = transformers.TrainingArguments(tmp_path, use_cpu=True, report_to=[])
    trainer = Trainer(Model(), arguments, train_dataset=Ordered())
    trainer.calls = Calls()
    lr_find(trainer, **OPTIONS)
    assert trainer.train_dataset.order == list(range(len(X)))
    assert trainer.calls.count == 0
    forget_accelerate()
