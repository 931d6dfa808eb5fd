"""axe-core, run on the page as the browser shows it."""

from __future__ import annotations

from functools import cache

from playwright.sync_api import Page

from tests.browser.harness.frontends import npm_file

# Every rule there is: best practices, experimental and deprecated ones too. Where axe cannot tell,
# such as a contrast over something it cannot see through, that counts. Only "hidden-content" does
# not: it says that something is hidden, which another state shows, and is no judgement.
FIND = """
async () => {
  const { violations, incomplete } = await axe.run(
    { include: [['.lrwidget']] },
    { runOnly: { type: 'rule', values: axe.getRules().map((rule) => rule.ruleId) } },
  );
  return [...violations, ...incomplete]
    .filter(({ id }) => id !== 'hidden-content')
    .flatMap(({ id, nodes }) => nodes.map((node) =>
      `${id}: ${node.html.slice(0, 200)}\\n  ${node.failureSummary.replace(/\\s+/g, ' ')}`));
}
"""
# What opens is opened, so that nothing is left out because it was folded.
UNFOLD = """
(root) => {
  for (const folded of root.querySelectorAll('details:not([open]) > summary')) folded.click();
  for (const folded of root.querySelectorAll('[aria-expanded=false]')) folded.click();
}
"""


@cache
def _source() -> str:
    return npm_file("axe-core/axe.min.js").read_text("utf-8")


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, or cannot judge, within the widgets of the page."""
    page.evaluate(_source())
    found: list[str] = page.evaluate(FIND)
    return found
