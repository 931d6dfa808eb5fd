"""The recipes of each set of tasks, by the name of its file."""

from benchmarks.suggest.make.fresh import FRESH
from benchmarks.suggest.make.long import LONG
from benchmarks.suggest.make.recipes import RECIPES
from benchmarks.suggest.make.small import SMALL
from benchmarks.suggest.make.unseen import UNSEEN

RECIPES_OF = {
    "varied": RECIPES,
    "unseen": UNSEEN,
    "small": SMALL,
    "long": LONG,
    "fresh": FRESH,
}
