"""A fixture of the benchmark's tests."""

from collections.abc import Iterator

import pytest

from benchmarks.suggest import breakdown, confidence, score
from lrwidget.curve import suggest
from lrwidget.curve.landmarks import Landmarks, find_landmarks
from lrwidget.curve.normalize import Array


@pytest.fixture(scope="package", autouse=True)
def landmarks_are_found_once() -> Iterator[None]:
    """Remember the landmarks of each curve: the tests look at the same recorded ones again."""
    known: dict[tuple[bytes, bytes], Landmarks] = {}

    def once(decades: Array, losses: Array) -> Landmarks:
        key = decades.tobytes(), losses.tobytes()
        if key not in known:
            known[key] = find_landmarks(decades, losses)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (breakdown, confidence, score, suggest):
            patch.setattr(module, "find_landmarks", once)
        yield
