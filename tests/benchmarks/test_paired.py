"""Ratios of paired timings are told with their spread, where there is one."""

import pytest

from benchmarks.gpu import NEVER, READS, report
from benchmarks.paired import Ratio, Seconds, quartiles, ratio


def test_several_pairs_have_quartiles() -> None:
    assert quartiles([1.0, 2.0, 3.0]) == (1.5, 2.0, 2.5)
    assert str(quartiles([1.0, 2.0, 3.0])) == "2.000 (1.500 to 2.500)"


def test_a_single_pair_has_a_ratio_without_quartiles() -> None:
    assert str(quartiles([1.25])) == "1.250"
    one = ratio([(Seconds(3.0, 1.0), Seconds(2.0, 1.0))])
    assert isinstance(one, Ratio)
    assert str(one).split() == ["1.500", "1.000"]


@pytest.mark.parametrize(("rounds", "spread"), [(1, 0), (3, 4)])
def test_the_table_of_a_device_is_printed_after_any_number_of_rounds(
    rounds: int, spread: int, capsys: pytest.CaptureFixture[str]
) -> None:
    report({NEVER: [1.0, 1.1, 1.2][:rounds], READS: [2.0, 2.1, 2.2][:rounds]})
    printed = capsys.readouterr().out
    assert READS in printed
    assert printed.count(" to ") == spread
