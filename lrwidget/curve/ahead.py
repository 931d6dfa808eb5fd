"""Jobs of a search that can be run at once, since none depends on the score of another."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lrwidget.curve.search import Answer, Job, Search


class Told(NamedTuple):
    """What a search was told about a job, and its `left` at that time."""

    answer: Answer
    left: int


def certain_jobs(begin: Callable[[], Search], told: Sequence[Told], most: int) -> list[Job]:
    """Return the next jobs, as far as they are the same whatever the earlier of them score.

    Args:
        begin: returns a new search.
        told: the answers to its jobs so far, in order.
        most: how many jobs to return at most.
    """
    scores = [one.answer.score for one in told]
    finite = [score for score in scores if math.isfinite(score)]
    low, high = min(finite, default=0.0) - 1, max(finite, default=0.0) + 1
    found: list[Job] = []
    following = _next_job(begin, told)
    while following is not None and len(found) < most:
        found.append(following)
        left = told[-1].left if told else begin().left
        outcomes = [
            [
                Told(Answer(score, steps, learned), left)
                for score, steps in (
                    (low, job.end - job.begin),
                    (high, job.end - job.begin),
                    (math.inf, job.end - job.begin),
                    (math.inf, 1),
                )
                for learned in (True, False)
            ]
            for job in found
        ]
        nexts = {_next_job(begin, [*told, *more]) for more in itertools.product(*outcomes)}
        if len(nexts) > 1:
            break
        following = nexts.pop()
    return found


def _next_job(begin: Callable[[], Search], told: Sequence[Told]) -> Job | None:
    search = begin()
    jobs = search.jobs()
    job = next(jobs)
    for answer, search.left in told:
        try:
            job = jobs.send(answer)
        except StopIteration:
            return None
    return job
