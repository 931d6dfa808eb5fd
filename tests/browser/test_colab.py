"""What Google Colab's manager of widgets does differently from all others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness.cells import SETUP, STEPS, WIDGET
from tests.browser.harness.colab import Colab
from tests.browser.harness.seen import Seen
from tests.browser.harness.server import JupyterServer


@pytest.fixture
def colab(server: JupyterServer, page: Page) -> Iterator[Colab]:
    """A notebook in Colab."""
    colab = Colab(server, page, "colab")
    yield colab
    colab.close()


def test_rows_that_come_as_bytes_are_drawn_and_a_pick_and_an_export_reach_the_kernel(
    colab: Colab,
) -> None:
    colab.allow("steps", 20)
    colab.open("light")
    colab.run(SETUP, WIDGET)
    seen = Seen(colab.page)
    seen.wait_for_state("Ready: 100 steps")
    seen.button("Start").click()
    seen.wait_for_points(20)
    # Every output is a page that is made anew when the notebook is.
    model_id = colab.model_id
    colab.open("dark")
    colab.show(model_id)
    seen.wait_for_points(20)
    seen.wait_for_state("Running.")
    expect(seen.root).to_have_css("background-color", "rgb(17, 17, 17)")
    colab.allow("steps", STEPS)
    seen.wait_for_state("Finished.")
    seen.wait_for_points(STEPS)
    seen.drag_marker_to(0.5)
    about = pytest.approx(0.01, rel=0.05)
    colab.wait_for("w.lr follows the drag", lambda: colab.kernel.value("w.lr") == about)
    seen.button("Export").click()
    expect(seen.root).to_contain_text("lr = ")
    assert colab.kernel.value("lr == w.lr")
