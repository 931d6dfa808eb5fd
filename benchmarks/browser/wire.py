"""Bytes and messages of a sweep, read from the page's websocket.

python -m benchmarks.browser.wire
"""

from __future__ import annotations

from benchmarks.browser.page import SETUP
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.browser.harness.wire import Wire, most_in_a_second
from tests.browser.screenshots import browser_and_server

WIDGET = "w = finder({steps}); w"


def main() -> None:
    """Print the figures of sweeps with fast batches, one ten times as long as the other."""
    with browser_and_server() as (context, server):
        for steps in (1_000, 10_000, 100_000):
            lab = Lab(server, context.new_page(), f"wire{steps}")
            wire = Wire(lab.page)
            lab.open(SETUP, WIDGET.format(steps=steps))
            lab.run_all()
            finder = Finder(lab)
            finder.wait_until_drawn()
            before = len(wire.messages)
            finder.button("Start").click()
            finder.wait_for_state("finished|diverged")
            messages = wire.messages[before:]
            rows = sum(message.buffers_size for message in wire.rows_messages) // 16
            json = sorted(message.content_size for message in wire.rows_messages)
            total = sum(message.size for message in messages)
            print(
                f"{rows:7} rows: {total / rows:6.1f} bytes a row in all, {len(messages)} messages, "
                f"at most {most_in_a_second(messages)} in a second; JSON of a message "
                f"{json[len(json) // 2]} bytes (largest {json[-1]}); "
                f"{total / (24 * rows + 300 * len(messages)):.2f} of the budget"
            )
            lab.close(keep_kernel=False)


if __name__ == "__main__":
    main()
