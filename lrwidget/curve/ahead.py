"""Jobs of a search that can be run at once, since none depends on the score of another."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lrwidget.curve.search import Job, Search


class Answer(NamedTuple):
    """What a search was told about a job.

    Args:
        score: the held-out loss; infinite if the trial broke off.
        steps: the steps that were run.
        left: the search's `left` at that time.
    """

    score: float
    steps: int
    left: int


def certain_jobs(begin: Callable[[], Search], answers: Sequence[Answer], most: int) -> list[Job]:
    """Return the next jobs, as far as they are the same whatever the earlier of them score.

    Args:
        begin: returns a new search.
        answers: the answers to its jobs so far, in order.
        most: how many jobs to return at most.
    """
    finite = [answer.score for answer in answers if math.isfinite(answer.score)]
    low, high = min(finite, default=0.0) - 1, max(finite, default=0.0) + 1
    found: list[Job] = []
    following = _next_job(begin, answers)
    while following is not None and len(found) < most:
        found.append(following)
        left = answers[-1].left if answers else begin().left
        outcomes = [
            [
                Answer(low, job.end - job.begin, left),
                Answer(high, job.end - job.begin, left),
                Answer(math.inf, job.end - job.begin, left),
                Answer(math.inf, 1, left),
            ]
            for job in found
        ]
        nexts = {_next_job(begin, [*answers, *told]) for told in itertools.product(*outcomes)}
        if len(nexts) > 1:
            break
        following = nexts.pop()
    return found


def _next_job(begin: Callable[[], Search], answers: Sequence[Answer]) -> Job | None:
    search = begin()
    jobs = search.jobs()
    job = next(jobs)
    for answer in answers:
        search.left = answer.left
        try:
            job = jobs.send((answer.score, answer.steps))
        except StopIteration:
            return None
    return job
