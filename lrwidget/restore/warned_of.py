"""What to warn of before a task is swept, checked or refined."""

from lrwidget.backup import walk
from lrwidget.backup.origin import module_of
from lrwidget.restore.captured import Captured, not_swept
from lrwidget.task.in_eval_mode import partly_in_eval_mode
from lrwidget.task.optimizers import finds_its_own_rate
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a


def warnings_of(task: TrainingTask) -> str:
    """Return what to warn of before a sweep of a task, or ''."""
    optimizers = (task.optimizer, *task.other_optimizers)
    modes = "" if task.reads_itself else partly_in_eval_mode(task.model, optimizers)
    warnings = (not_swept(task), finds_its_own_rate(task.optimizer), modes, reads_on(task))
    return "; ".join(filter(None, warnings))


def reads_on(task: TrainingTask) -> str:
    """Return a warning about iterators that the functions of a task use, or ''.

    Those of the task's data are not meant: each sweep and each trial begins them anew.
    """
    used = walk.used_by(*Captured(task).functions, containers=True)
    kinds = {type(value): None for value in used if _cannot_be_wound_back(type(value))}
    if not kinds:
        return ""
    names = " and ".join(_in_words(kind) for kind in kinds)
    return (
        f"step or loss reads on in {names}, which cannot be wound back: the training after a sweep "
        "goes on where it ended, and so does each trial of a check or a refinement, so that they "
        "differ by more than the rate. Let data give what is read there too, and count in variables"
    )


def _cannot_be_wound_back(kind: type) -> bool:
    of = module_of(kind)
    known = of in ("builtins", "itertools") or of.startswith("torch.utils.data")
    # That of a range ends: it plans so many calls, and reads no data.
    return known and hasattr(kind, "__next__") and kind is not type(iter(range(0)))


def _in_words(kind: type) -> str:
    name = kind.__name__
    if name.endswith("DataLoaderIter"):
        return "the iterator of a DataLoader"
    return f"an itertools.{name}" if module_of(kind) == "itertools" else a(name)
