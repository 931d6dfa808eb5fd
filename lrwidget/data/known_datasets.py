"""What is known of libraries' data sets, told by what they are: none of them is imported."""

from typing import Any

from torch.utils.data import DataLoader

from lrwidget.data.samples import Kind

# Formats of Hugging Face's data sets whose rows torch puts together as they are, or that are the
# user's own transform.
_FIT_TO_COLLATE = ("torch", "numpy", "np", "custom")


def known_kind(data: Any) -> Kind | None:
    """What the data gives, where a library's own object says it; None for all else."""
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
    if _is_hugging_face(data, "IterableDataset") and _batched_by_hugging_face(data):
        kind = "batch"
    return kind


def holds_a_loader(data: Any) -> bool:
    """Whether it is a loader by another name, as webdataset's WebLoader: it begins with one."""
    stages = _stages(data)
    return bool(stages) and isinstance(stages[0], DataLoader) and known_kind(data) == "batch"


def as_tensors(data: Any) -> Any:
    """A data set of Hugging Face whose rows are lists, or tables, as one that gives tensors."""
    if _is_hugging_face(data, "Dataset"):
        return data if data.format["type"] in _FIT_TO_COLLATE else data.with_format("torch")
    if _is_hugging_face(data, "IterableDataset"):
        format_type = getattr(getattr(data, "_formatting", None), "format_type", None)
        return data if format_type in _FIT_TO_COLLATE else data.with_format("torch")
    return data


def _stages(data: Any) -> list[Any]:
    return list(data.pipeline) if _is_pipeline(data) else []


def _is_pipeline(data: Any) -> bool:
    bases = {f"{base.__module__.split('.')[0]}.{base.__name__}" for base in type(data).__mro__}
    return "webdataset.DataPipeline" in bases and isinstance(getattr(data, "pipeline", None), list)


def _is_hugging_face(data: Any, name: str) -> bool:
    return any(
        base.__name__ == name and base.__module__.split(".")[0] == "datasets"
        for base in type(data).__mro__
    )


def _batched_by_hugging_face(data: Any) -> bool:
    """Whether its last step, but for what keeps rows whole, is that of `batch`."""
    step = getattr(data, "_ex_iterable", None)
    while step is not None:
        function = getattr(step, "function", None)
        if function is not None:
            function = getattr(function, "func", function)
            own = getattr(function, "__module__", "").startswith("datasets.")
            return own and getattr(function, "__name__", "").startswith("_batch")
        step = getattr(step, "ex_iterable", None)
    return False
