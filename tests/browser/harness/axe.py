"""Runs axe-core on a rendered page."""

from __future__ import annotations

from functools import cache
from typing import Any

from playwright.sync_api import Page

from tests.browser.harness.frontends import npm_file

# All rules of axe-core, also best practices, experimental and deprecated ones, except two:
# "hidden-content" only reports that something is hidden, which another state shows, and
# "color-contrast-enhanced" requires a contrast of 7:1.
# Where axe cannot judge a contrast, as over the chart, CONTRAST does; anything else that axe
# cannot judge counts as a violation. JupyterLab's body hides its overflow and has a height of 0,
# because its content has absolute positions; axe would treat all of it as invisible.
FIND = """
async () => {
  if (!document.body.offsetHeight) document.body.style.height = '100vh';
  const not = ['hidden-content', 'color-contrast-enhanced'];
  const values = axe.getRules().map((rule) => rule.ruleId).filter((id) => !not.includes(id));
  const found = await axe.run(
    { include: [['.lrwidget']] },
    { runOnly: { type: 'rule', values } },
  );
  document.body.style.height = '';
  const said = (id, node, text) => `${id}: ${node.html.slice(0, 200)}\\n  ${text}`;
  const problems = found.violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => said(id, node, node.failureSummary.replace(/\\s+/g, ' '))));
  const judged = found.passes.filter(({ id }) => id === 'color-contrast');
  let seen = judged.flatMap(({ nodes }) => nodes).length;
  for (const { id, nodes } of found.incomplete) {
    for (const node of nodes) {
      const element = document.querySelector(node.target[0]);
      if (!element) return null; // the page was drawn anew meanwhile
      const ratio = id === 'color-contrast' ? lowestContrast(element) : 0;
      if (ratio >= 4.5) seen++;
      else problems.push(said(id, node, `cannot be judged, or has a contrast of ${ratio}`));
    }
  }
  return { problems, seen };
}
"""
# The lowest contrast of a text over any possible background: the backgrounds of its ancestors, and
# in the chart also each of the regions.
CONTRAST = """
() => { window.lowestContrast = (text) => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const painted = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const style = getComputedStyle;
  const own = [];
  let behind = text;
  for (; !behind.matches('.lrwidget'); behind = behind.parentElement) {
    if (style(behind).opacity !== '1') return 0;
    own.unshift(style(behind).backgroundColor);
  }
  const surface = style(behind).backgroundColor;
  const shades = text.closest('.lrw-chart')?.querySelectorAll('.lrw-shade') ?? [];
  const under = [[], ...[...shades].map((shade) => [style(shade).backgroundColor])];
  const ink = text instanceof SVGElement ? style(text).fill : style(text).color;
  return Math.min(...under.map((between) => {
    const ground = [surface, ...between, ...own];
    const [low, high] = [painted(ground), painted([...ground, ink])].map(luminance)
      .sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }));
} }
"""
# Opens everything that unfolds, so that axe judges it as well.
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
    """Return the violations axe-core reports, or cannot judge, in the page's widgets."""
    page.evaluate(_source())
    page.evaluate(CONTRAST)
    found: dict[str, Any] | None = None
    # The widget may not be painted yet; if it never is, the test's timeout ends the loop.
    while found is None or found["seen"] <= 10:
        found = page.evaluate(FIND)
    problems: list[str] = found["problems"]
    return problems
