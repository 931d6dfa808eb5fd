"""Recognize the data sets of libraries by their class names, without importing the libraries."""

from typing import Any

from torch.utils.data import DataLoader

from lrwidget.backup.origin import library_of, root_of
from lrwidget.data.samples import Kind

# Formats of Hugging Face data sets whose rows torch can collate, or that are custom transforms.
_FIT_TO_COLLATE = ("torch", "numpy", "np", "custom")


def known_kind(data: Any) -> Kind | None:
    """Return whether a library's data set yields samples or batches; None if it is unknown."""
    if isinstance(data, DataLoader):
        return known_kind(data.dataset) if data.batch_size is None else "batch"
    kind: Kind | None = None
    for stage in _stages(data):
        name = getattr(getattr(stage, "f", None), "__name__", "").removeprefix("_")
        if isinstance(stage, DataLoader) or _stages(stage):
            kind = known_kind(stage)
        elif name in ("batched", "listed"):
            kind = "batch"
        elif name in ("unbatched", "unlisted"):
            kind = "sample"
    if is_hugging_face(data, "IterableDataset") and _batched_by_hugging_face(data):
        kind = "batch"
    return kind


def holds_a_loader(data: Any) -> bool:
    """Return whether `data` is a pipeline around a DataLoader, such as webdataset's WebLoader."""
    stages = _stages(data)
    return bool(stages) and isinstance(stages[0], DataLoader) and known_kind(data) == "batch"


def as_tensors(data: Any) -> Any:
    """Return a Hugging Face data set with its format set to torch; other data unchanged."""
    if is_hugging_face(data, "Dataset"):
        return data if data.format["type"] in _FIT_TO_COLLATE else data.with_format("torch")
    if is_hugging_face(data, "IterableDataset"):
        format_type = getattr(getattr(data, "_formatting", None), "format_type", None)
        return data if format_type in _FIT_TO_COLLATE else data.with_format("torch")
    return data


def _stages(data: Any) -> list[Any]:
    return list(data.pipeline) if _is_pipeline(data) else []


def _is_pipeline(data: Any) -> bool:
    bases = {f"{library_of(base)}.{base.__name__}" for base in type(data).__mro__}
    return "webdataset.DataPipeline" in bases and isinstance(getattr(data, "pipeline", None), list)


def is_hugging_face(data: Any, name: str) -> bool:
    """Return whether an object is of a class of the library `datasets` with this name."""
    return any(
        base.__name__ == name and library_of(base) == "datasets" for base in type(data).__mro__
    )


def _batched_by_hugging_face(data: Any) -> bool:
    """Return whether the last transform of a Hugging Face data set is that of `batch`."""
    step = getattr(data, "_ex_iterable", None)
    while step is not None:
        function = getattr(step, "function", None)
        if function is not None:
            function = getattr(function, "func", function)
            own = root_of(getattr(function, "__module__", "")) == "datasets"
            return own and getattr(function, "__name__", "").startswith("_batch")
        step = getattr(step, "ex_iterable", None)
    return False
