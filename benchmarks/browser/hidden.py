"""Cost of a hidden tab while a sweep streams, compared with a visible one.

python -m benchmarks.browser.hidden
"""

from __future__ import annotations

from benchmarks.browser.page import SETUP
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.browser.harness.tab import Tab, Window
from tests.browser.screenshots import browser_and_server

STEPS = 20_000
WIDGET = f"w = finder({STEPS}); w"


def spent(tab: Tab) -> tuple[float, float]:
    """Return the processor time of the tab's main thread in ms: in scripts, and in total."""
    answer = tab.send("Performance.getMetrics")
    metrics = {metric["name"]: metric["value"] for metric in answer["metrics"]}
    return 1e3 * metrics["ScriptDuration"], 1e3 * metrics["TaskDuration"]


def main() -> None:
    """Print the figures of one sweep whose tab is shown and hidden in turn."""
    with browser_and_server() as (context, server):
        lab = Lab(server, context.new_page(), "hidden")
        lab.open(SETUP, WIDGET)
        lab.run_all()
        finder = Finder(lab)
        finder.wait_until_drawn()
        window = Window(lab)
        watched = Tab(window)
        watched.open_notebook()
        watched.send("Performance.enable", timeDomain="threadTicks")
        other = Tab(window)
        for front, name in ((watched, "shown"), (other, "hidden")) * 2:
            front.to_front()
            lab.page.wait_for_timeout(1000)
            before = spent(watched)
            lab.kernel.run("w.start()")
            finder.wait_for_state("running")
            finder.wait_for_state("finished|diverged")
            script, all_ = (now - then for now, then in zip(spent(watched), before, strict=True))
            print(f"{name:6}: {STEPS} rows cost {script:6.0f} ms of script, {all_:6.0f} ms in all")
        window.close()
        lab.close(keep_kernel=False)


if __name__ == "__main__":
    main()
