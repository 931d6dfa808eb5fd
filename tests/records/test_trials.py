"""Tests of how a notebook displays the results of a check and of a refinement."""

import math
import re

import numpy as np

from lrwidget.records.check_results import CheckResults
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.records.table import StopReason
from lrwidget.text.numbers import rate_in_words
from tests.records.test_picture import NAN, SVG, courses, picture, shown, size, texts
from tests.records.test_records import curve


def check(finals: dict[float, float], steps: int = 40) -> CheckResults:
    """Return a check whose trials fall from 2 to these losses; NaN makes a trial stop half way."""
    results = CheckResults(list(finals))
    for lr, trial in zip(results.lrs, results.trials, strict=True):
        broken = math.isnan(finals[lr])
        for loss in np.linspace(2, 1.5 if broken else finals[lr], steps // 2 if broken else steps):
            trial.append(lr, float(loss))
        trial.stop_reason = StopReason.NON_FINITE if broken else StopReason.FINISHED
    return results


def refinement(held_out: dict[float, float], steps: int = 300) -> Refinement:
    """Return a refinement whose trials end with these held-out losses; NaN makes one diverge."""
    result = Refinement(1e-2, suggested=1e-2, sweep_steps=100)
    result.length, result.untrained, result.held_out = steps, 2.3, "100 of 1000 samples"
    for lr, end in held_out.items():
        trial = Trial(lr)
        broken = math.isnan(end)
        for loss in np.linspace(2.3, 0.5, 20 if broken else steps):
            trial.records.append(lr, float(loss))
        trial.held_out = {} if broken else {steps: end}
        trial.records.stop_reason = StopReason.DIVERGED if broken else StopReason.FINISHED
        result.trials.append(trial)
    result.stop_reason = StopReason.FINISHED
    return result


# Checks


def test_a_check_is_shown_as_curves_ranking_and_folded_table() -> None:
    results = check({1e-3: 1.0, 3e-3: 0.5, 1e-2: 0.75, 1.0: NAN})
    page = shown(results)
    (svg,) = page.pictures
    assert len(courses(svg)) == 4
    assert {"1e-3", "3e-3", "1e-2", "1", "step", "loss"} <= {*texts(svg)}
    (best,) = [text.text for text in svg.iter(f"{SVG}text") if "font-weight" in text.attrib]
    assert best == "3e-3"
    assert "Best learning rate 3e-3: by the final loss: 3e-3 (" in page.text
    assert re.search(r"3e-3 \(.*1e-2 \(.*1e-3 \(.*1 of 4 without", page.text)
    assert "1nannon-finite" in page.text
    assert page.tags.index("details") < page.tags.index("table")
    assert "1e-2" in results._repr_mimebundle_()["text/plain"]


def test_each_trial_has_a_look_of_its_own_and_the_best_is_among_those_drawn() -> None:
    finals = {10.0 ** (i / 4 - 6): 1.5 - i / 30 for i in range(30)}
    results = check(finals)
    svg = picture(results)
    (inside,) = svg.findall(f"{SVG}svg")
    looks = {(path.get("stroke"), path.get("stroke-dasharray")) for path in inside}
    assert len(looks) == len(inside) == 16
    assert rate_in_words(max(finals), 3) in texts(svg)
    assert size(check(finals, 1000)._repr_mimebundle_()) <= 40_000


def test_a_check_that_came_to_nothing_says_so() -> None:
    assert "no steps yet" in shown(CheckResults([1e-3])).text
    assert "try lower ones" in shown(check({1e-3: NAN, 1e-2: NAN})).text
    stopped = check({1e-3: NAN, 1e-2: NAN})
    stopped.trials[0].stop_reason = StopReason.STOPPED
    assert "1e-3 stopped, 1e-2 non-finite" in shown(stopped).text
    spoilt = check({1e-3: NAN, 1e-2: NAN})
    for trial, lr in zip(spoilt.trials, spoilt.lrs, strict=True):
        trial.append(lr, NAN)
    assert "a likelier cause than a rate" in shown(spoilt).text
    assert "try lower ones" not in shown(spoilt).text


# Refinements


def test_a_refinement_is_shown_as_curves_words_and_folded_table() -> None:
    result = refinement({1e-3: 0.9, 3.2e-3: 0.4, 1e-2: 0.7, 1e-1: NAN})
    page = shown(result)
    (svg,) = page.pictures
    assert len(courses(svg)) == 4
    (best,) = [text.text for text in svg.iter(f"{SVG}text") if "font-weight" in text.attrib]
    assert best == "3.2e-3"
    assert f"Learning rate {rate_in_words(result.lr, 3)}: {result.reason}" in page.text
    assert "judged by 100 of 1000 samples" in page.alt
    assert page.tags.index("details") < page.tags.index("table")
    assert "1e-120nandiverged" in page.text
    assert "3.2e-3" in result._repr_mimebundle_()["text/plain"]


def test_a_long_refinement_takes_40_kb_and_one_without_steps_is_shown_too() -> None:
    many = refinement({10.0 ** (i / 4 - 6): 1.5 - i / 30 for i in range(20)}, 2000)
    assert size(many._repr_mimebundle_()) <= 40_000
    assert "no steps yet" in shown(Refinement(1e-2)).text


def test_records_that_were_refined_show_the_refined_rate_first() -> None:
    records = curve()
    result = refinement({1e-3: 0.9, 3.2e-3: 0.4, 1e-2: 0.7})
    records.meta["refinement"] = result.as_json()
    page = shown(records)
    refined, suggested = (
        f"{name} learning rate {rate_in_words(rate, 3)}"
        for name, rate in (("Refined", result.lr), ("Suggested", records.suggestion.lr))
    )
    assert 0 <= page.text.index(f"{refined}: {result.reason}") < page.text.index(suggested)
    assert page.alt.startswith(refined)
    marks = {
        f"refined {rate_in_words(result.lr, 3)}",
        f"suggestion {rate_in_words(records.suggestion.lr, 3)}",
    }
    names = {text.text: text for text in page.pictures[0].iter(f"{SVG}text")}
    assert marks <= names.keys()
    assert len({names[mark].attrib["y"] for mark in marks}) == 2
    plain = records._repr_mimebundle_()["text/plain"]
    assert plain.index(refined) < plain.index(suggested)
