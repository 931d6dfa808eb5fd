"""The code on the pages of the gallery gives the rows that the pages show."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrwidget import LRRecords
from scripts.record_gallery import RUNS, pages, record, runs_of


def test_every_recorded_file_is_shown_and_is_small() -> None:
    shown = [name for page in pages() for name in runs_of(page).values()]
    assert sorted(shown) == sorted(path.name for path in RUNS.iterdir())
    assert sum(path.stat().st_size for path in RUNS.iterdir()) < 200_000


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as in the script: others' warnings are theirs
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_code_of_a_page_gives_its_rows_again(page: Path, tmp_path: Path) -> None:
    record(page, tmp_path)
    for name in runs_of(page).values():
        kept, again = LRRecords.load(RUNS / name), LRRecords.load(tmp_path / name)
        # On another machine the last bits differ, and with them what an explosion makes of them.
        assert again.stop_reason == kept.stop_reason
        early = len(kept) // 3
        assert again.lr[:early] == pytest.approx(kept.lr[:early])
        assert again.loss[:early] == pytest.approx(kept.loss[:early], rel=1e-2)
        for found, known in (
            (again.suggestion, kept.suggestion),
            (again.refinement, kept.refinement),
        ):
            assert (found is None) == (known is None)
            if found is not None and known is not None:
                assert (found.lr is None) == (known.lr is None)
                assert found.lr is None or found.lr == pytest.approx(known.lr, rel=0.5)
