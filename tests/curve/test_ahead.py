"""Jobs that can be run at once: none depends on the score of another."""

import math
import random

import pytest

from lrwidget.curve.ahead import Answer, certain_jobs
from lrwidget.curve.search import Search


def begin() -> Search:
    return Search(1e-2, 1400, 100)


def test_the_three_starting_rates_are_certain_and_what_follows_is_not() -> None:
    found = certain_jobs(begin, [], 9)
    assert [(job.place, job.begin) for job in found] == [(0, 0), (-1, 0), (1, 0)]
    assert certain_jobs(begin, [], 2) == found[:2]


def test_while_it_walks_one_is_certain_and_where_it_lengthens_three() -> None:
    three = [Answer(score, 100, 1400) for score in (2.0, 3.0, 1.0)]
    (walk,) = certain_jobs(begin, three, 3)
    assert (walk.place, walk.begin) == (2, 0)
    found = certain_jobs(begin, [*three, Answer(1.5, 100, 1400)], 3)
    assert sorted(job.place for job in found) == [0, 1, 2]
    assert {(job.begin, job.end) for job in found} == {(100, 200)}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_out_the_search_asks_for_what_was_certain(seed: int) -> None:
    draws = random.Random(seed)
    search = begin()
    jobs, answers, ahead = search.jobs(), list[Answer](), []
    job = next(jobs)
    while True:
        certain = certain_jobs(begin, answers, 3)
        assert certain[0] == job
        assert certain[: len(ahead)] == ahead
        ahead = certain[1:]
        broke_off = draws.random() < 0.2
        score = math.inf if broke_off else draws.random()
        steps = draws.randrange(1, job.end - job.begin) if broke_off else job.end - job.begin
        answers.append(Answer(score, steps, search.left))
        try:
            job = jobs.send((score, steps))
        except StopIteration:
            assert ahead == certain_jobs(begin, answers, 3) == []
            return
