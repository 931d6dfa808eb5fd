"""Every ending of a sweep on every scene restores everything bit for bit."""

from collections.abc import Iterator

import pytest

from tests.restore.endings import ENDINGS
from tests.restore.fingerprint import differences
from tests.restore.scenes import IN_PLACE, SCENES


def _cases() -> Iterator[tuple[str, str, str]]:
    for scene in SCENES:
        # On the CPU, "cpu" and "device" run the same code, so one scene covers "cpu". In-place
        # scenes skip "device", because their "auto" is "device".
        places = ["auto", "disk"]
        if scene not in IN_PLACE:
            places.append("device")
        if scene == "warm_adam":
            places.append("cpu")
        for ending in ENDINGS:
            for place in places:
                yield scene, ending, place


@pytest.mark.parametrize(("scene", "ending", "snapshot"), list(_cases()))
def test_everything_is_as_before(scene: str, ending: str, snapshot: str) -> None:
    it = SCENES[scene]()
    task = it.task(snapshot=snapshot)
    before = it.fingerprint()
    records = ENDINGS[ending](task, it.plan)
    copied = snapshot == "auto" and scene not in IN_PLACE
    assert records.meta["ran_on"] == ("copy" if copied else "model")
    assert len(records) > 0
    assert records.suggestion.reason
    assert differences(before, it.fingerprint()) == []
