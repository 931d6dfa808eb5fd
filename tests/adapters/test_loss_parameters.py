"""A Trainer whose loss has parameters that are not part of its model."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from lrwidget import lr_find
from tests.adapters.case import forget_accelerate
from tests.restore.fingerprint import differences, fingerprint

pytestmark = pytest.mark.framework

STEPS = 6
SWEEP: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 1e-1, "steps": STEPS, "progress": False}
SETTINGS: dict[str, Any] = {
    "use_cpu": True,
    "report_to": [],
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
    "per_device_train_batch_size": 4,
}


class Rates(TrainerCallback):
    """Sets the rate of each step; the groups keep their ratio."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        groups = kwargs["optimizer"].param_groups
        first = groups[0]["initial_lr"]
        for group in groups:
            group["lr"] = self.rates[state.global_step] * (group["initial_lr"] / first)


class Clears(TrainerCallback):
    """Clears gradients as the callback of sentence-transformers does, in a separate method."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clear(kwargs["optimizer"])

    def clear(self, optimizer: Any) -> None:
        optimizer.zero_grad()


class Noting(Trainer):
    """Keeps the losses, and the gradients of the loss's parameters before each step."""

    def training_step(self, model: Any, inputs: Any, items: Any = None) -> torch.Tensor:
        gradient = next(self.loss.parameters()).grad
        loss = super().training_step(model, inputs, items)
        if hasattr(self, "note"):
            norm = 0.0 if gradient is None else float(gradient.norm())
            self.note((self.state.global_step, loss, norm))
        return loss


class Head(nn.Module):
    """A loss with parameters, buffers, and a rate of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))

    def forward(self, output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(self.layers(output).squeeze(1), labels)


class WithHead(Noting):
    """Computes its loss with a head that its optimizer trains together with the model."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor:
        return self.loss(model(inputs["x"]), inputs["labels"])

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            groups: list[dict[str, Any]] = [{"params": list(self.model.parameters())}]
            groups.append({"params": list(self.loss.parameters()), "lr": 0.5})
            self.optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
        return self.optimizer


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).tanh()


def with_head(
    folder: Path, callbacks: Any = (Clears,), kind: type[Trainer] = WithHead, **settings: Any
) -> Any:
    forget_accelerate()
    torch.manual_seed(3)
    x = torch.randn(18, 4)
    items = [{"x": row, "labels": row.sum()} for row in x]
    body, head = Body(), Head()
    arguments = TrainingArguments(
        output_dir=str(folder), remove_unused_columns=False, **{**SETTINGS, **settings}
    )
    trainer = kind(body, arguments, train_dataset=items, callbacks=[c() for c in callbacks])
    trainer.loss = head
    torch.manual_seed(5)
    return trainer


def of_steps(notes: list[Any]) -> tuple[list[float], list[float]]:
    """Return each optimizer step's loss, and the norm of the loss's gradient before it."""
    steps: dict[int, list[Any]] = {}
    for number, *note in notes:
        steps.setdefault(number, []).append(note)
    losses = [float(torch.stack([loss for loss, _ in notes]).sum()) for notes in steps.values()]
    return losses, [notes[0][1] for notes in steps.values()]


def swept_and_trained(make: Any) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return losses and gradient norms of a sweep, and of the Trainer's loop at its rates."""
    swept, notes = make(), []
    swept.note = notes.append
    records = lr_find(swept, **SWEEP)
    own, own_notes = make(max_steps=STEPS), []
    own.note = own_notes.append
    own.add_callback(Rates(list(records.lr)))
    own.train()
    losses, gradients = of_steps(own_notes)
    assert len(losses) == STEPS
    return list(records.loss), of_steps(notes)[1], losses, gradients


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("clip", [0.0, 0.3])
def test_gradients_of_the_loss_are_cleared_where_a_callback_does(
    accumulate: int, clip: float, folder: Path
) -> None:
    options = {"gradient_accumulation_steps": accumulate, "max_grad_norm": clip}
    swept, before, own, before_own = swept_and_trained(
        lambda **more: with_head(folder, **options, **more)
    )
    assert swept == own
    assert before == before_own == [0.0] * STEPS


def test_where_nothing_clears_them_they_pile_up_as_in_training(folder: Path) -> None:
    swept, before, own, before_own = swept_and_trained(
        lambda **more: with_head(folder, callbacks=(), **more)
    )
    assert swept == own
    assert before == before_own
    assert before[1] > 0


@pytest.mark.parametrize("most", [0.0, 0.3])
def test_methods_of_a_subclass_clip(most: float, folder: Path) -> None:
    class Clipping(WithHead):
        """Clips by value, including the loss's gradients, even with a bound of 0."""

        def _clip_grad_norm(self, model: Any) -> torch.Tensor:
            parameters = [*model.parameters(), *self.loss.parameters()]
            nn.utils.clip_grad_value_(parameters, self.args.max_grad_norm / 10)
            return torch.tensor(0.0)

        def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
            if grad_norm is None:
                nn.utils.clip_grad_value_(model.parameters(), 0.01)
            return grad_norm

    def make(kind: type[Trainer] = Clipping, **more: Any) -> Any:
        return with_head(folder, kind=kind, max_grad_norm=most, **more)

    swept, _, own, _ = swept_and_trained(make)
    assert swept == own
    assert list(lr_find(make(WithHead), **SWEEP).loss) != own


def test_a_loss_in_a_mapping_is_put_back_with_its_state(folder: Path) -> None:
    class InMapping(WithHead):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
        ) -> torch.Tensor:
            (loss,) = self.losses.values()
            loss.calls = getattr(loss, "calls", 0) + 1
            return loss(model(inputs["x"]), inputs["labels"])

    trainer = with_head(folder, kind=InMapping)
    head = trainer.loss
    trainer.losses = {"one": head}
    head.layers[0].weight.grad = torch.ones(5, 6)
    subjects = {"model": trainer.model, "loss": head, "trainer": vars(trainer)}
    before = fingerprint(**subjects)
    assert len(lr_find(trainer, **SWEEP)) == STEPS
    assert differences(before, fingerprint(**subjects)) == []


def sentences(folder: Path, **settings: Any) -> Any:
    """A tiny sentence encoder with a loss that classifies pairs."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.sentence_transformer.losses import SoftmaxLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    forget_accelerate()
    torch.manual_seed(0)
    encoder = str(folder / "encoder")
    words = {word: n for n, word in enumerate(["<pad>", "<unk>", *(f"w{i}" for i in range(20))])}
    split = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    split.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=split, pad_token="<pad>").save_pretrained(encoder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=22, intermediate_size=32, **sizes)
    BertModel(config).save_pretrained(encoder)
    model = SentenceTransformer(modules=[Transformer(encoder), Pooling(16)], device="cpu")
    texts = [" ".join(f"w{(7 * i + j * j) % 20}" for j in range(6)) for i in range(18)]
    labels = [i % 3 for i in range(18)]
    columns = {"one": texts, "two": texts[::-1], "label": labels}

    class Steps(Noting, SentenceTransformerTrainer):
        pass

    trainer = Steps(
        model,
        Arguments(output_dir=str(folder / "out"), **{**SETTINGS, **settings}),
        train_dataset=Dataset.from_dict(columns),
        loss=SoftmaxLoss(model, 16, 3),
    )
    torch.manual_seed(5)
    return trainer


def test_sentence_transformers_loss_with_a_classifier(folder: Path) -> None:
    swept, before, own, before_own = swept_and_trained(
        lambda **more: sentences(folder, gradient_accumulation_steps=2, **more)
    )
    assert swept == own
    assert before == before_own == [0.0] * STEPS


def test_a_reference_model_is_none_that_an_optimizer_has_been_refused(folder: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    class Guided(WithHead):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
        ) -> torch.Tensor:
            with torch.no_grad():
                taught = self.ref_model(inputs_embeds=inputs["x"][:, None]).last_hidden_state
            return (model(inputs["x"])[:, :4] - taught[:, 0]).square().mean()

    trainer = with_head(folder, kind=Guided)
    trainer.ref_model = GPT2Model(GPT2Config(n_embd=4, n_layer=1, n_head=1))
    assert trainer.ref_model.training
    before = fingerprint(model=trainer.model, reference=trainer.ref_model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        records = lr_find(trainer, **SWEEP)
    assert (len(records), "not_swept" in records.meta) == (STEPS, False)
    assert not differences(before, fingerprint(model=trainer.model, reference=trainer.ref_model))
    trainer.other = nn.Linear(1, 1)
    with pytest.warns(
        UserWarning, match=r"no optimizer holds \(ModuleList.\d.weight, .* of a teac"
    ):
        lr_find(trainer, **SWEEP)
