// The rates of the rules as ticks under the curve. Each is a button that picks its rate.
import { h, on, s, setAttribute, setClass, setText } from "../dom";
import { clampRate, type Span } from "../numeric/axis";
import { dodged } from "../numeric/dodge";
import type { Session } from "../state/session";
import { formatRate } from "../text/format";
import { across, inside, type Place } from "./place";

/** The rule that the suggestion and the marker follow. */
export const DEFAULT_RULE = "auto";

export interface Rule {
  name: string;
  lr: number;
  /** Whether the rate lies in the sweep; otherwise it cannot be picked. */
  inside: boolean;
  /** Lines of text that explain the rule. */
  meaning: string;
}

const MEANINGS: Record<string, string> = {
  [DEFAULT_RULE]: "the default: well below where the loss climbs",
  "minimum/10": "a tenth of the rate at the lowest loss (luz, fastai)",
  steepest: "where the loss falls fastest (torch-lr-finder)",
  valley: "in the middle of the longest fall (fastai)",
  slide: "left of a window that slides down from the explosion (fastai)",
};

/** The rules that have a rate, by rate; the default comes before others of the same rate. */
export function rulesOf(
  suggestions: Record<string, number | null> | undefined,
  span: Span,
): Rule[] {
  const rules: Rule[] = [];
  for (const [name, lr] of Object.entries(suggestions ?? {})) {
    if (lr === null || !(lr > 0 && lr < Infinity)) continue;
    const inside = lr >= span.low && lr <= span.high;
    const place = lr < span.low ? "below" : "above";
    const meaning = MEANINGS[name] ?? "";
    const outside = `it lies ${place} the sweep`;
    rules.push({
      name,
      lr,
      inside,
      meaning: inside ? meaning : [meaning, outside].filter(Boolean).join("\n"),
    });
  }
  return rules.sort((a, b) => a.lr - b.lr || rank(a) - rank(b));
}

/** "minimum/10: 1.2e-2" */
export function nameOf({ name, lr }: Rule): string {
  return `${name}: ${formatRate(lr)}`;
}

function rank({ name }: Rule): number {
  return name === DEFAULT_RULE ? 0 : 1;
}

/** Height of the lines from the ticks to their names, as in overlays.css, in pixels. */
const LEADER = 9;

interface Tick {
  rule: Rule;
  button: HTMLButtonElement;
  /** The tick itself, at the foot of the plot. */
  foot: HTMLElement;
  leader: SVGPolylineElement;
}

export class RuleTicks {
  /** The strip of names below the figure. */
  readonly el: HTMLElement;
  /** Lies over the figure. */
  readonly over = h("div", { "aria-hidden": "true" });
  /** Lies under the figure: the lines from the ticks to their names. */
  readonly under = s("svg", { class: "lrw-leaders", "aria-hidden": "true" });
  private readonly guide = h("div.hairline", { hidden: true });
  private readonly tip = h("div.tip", { hidden: true });
  private readonly feet = h("div");
  private readonly buttons = h("div");
  private ticks: Tick[] = [];
  private shownRules = "";
  private pointed: Tick | null = null;
  private place: Place | null = null;

  constructor(private readonly session: Session) {
    this.el = h("div.rules", { role: "group", "aria-label": "Rates by rule" }, this.buttons);
    this.over.append(this.feet, this.guide, this.tip);
  }

  update(place: Place | null): void {
    const { detail, reach, lr } = this.session;
    const rules = rulesOf(detail.suggestions, reach);
    const now = JSON.stringify(rules);
    if (now !== this.shownRules) {
      this.shownRules = now;
      this.rebuild(rules);
    }
    for (const { rule, button } of this.ticks) {
      setAttribute(button, "aria-pressed", String(rule.lr === lr));
    }
    this.place = place;
    this.el.hidden = this.over.hidden = !place;
    this.under.toggleAttribute("hidden", !place);
    if (place) this.arrange(place);
    if (this.pointed) this.showTip(this.pointed);
  }

  private rebuild(rules: Rule[]): void {
    this.showTip(null);
    this.ticks = rules.map((rule) => this.tick(rule));
    this.under.replaceChildren(...this.ticks.map((tick) => tick.leader));
    this.feet.replaceChildren(...this.ticks.map((tick) => tick.foot));
    this.buttons.replaceChildren(...this.ticks.map((tick) => tick.button));
  }

  private tick(rule: Rule): Tick {
    const button = h(
      "button.rule",
      { type: "button", "aria-label": nameOf(rule), "aria-description": rule.meaning },
      h("span.shape"),
      h("span.rule-name", {}, rule.name),
    );
    setClass(button, "default", rule.name === DEFAULT_RULE);
    // `disabled` would take away focus and tip.
    if (!rule.inside) setAttribute(button, "aria-disabled", "true");
    const foot = h("div.foot");
    const leader = s("polyline");
    const tick: Tick = { rule, button, foot, leader };
    on(button, "click", () => {
      if (rule.inside) this.session.pick(rule.lr);
    });
    for (const type of ["pointerenter", "focus"] as const) {
      on(button, type, () => {
        this.showTip(tick);
      });
    }
    for (const type of ["pointerleave", "blur"] as const) {
      on(button, type, () => {
        if (this.pointed === tick) this.showTip(null);
      });
    }
    on(button, "keydown", (event) => {
      if (event.key === "Escape") this.showTip(null);
    });
    return tick;
  }

  /** Places the ticks at their rates, and the names below them as room allows. */
  private arrange(place: Place): void {
    const { visibleSpan } = this.session;
    const at = this.ticks.map(({ rule }) =>
      across(clampRate(rule.lr, visibleSpan), visibleSpan, place),
    );
    this.el.classList.remove("lrw-narrow");
    let widths = this.ticks.map(({ button }) => button.offsetWidth);
    const room = this.el.offsetWidth;
    if (widths.reduce((sum, width) => sum + width, 0) > room) {
      this.el.classList.add("lrw-narrow");
      widths = this.ticks.map(({ button }) => button.offsetWidth);
    }
    const middles = dodged(at, widths, 0, room);
    const top = this.el.offsetTop;
    this.ticks.forEach(({ rule, button, foot, leader }, i) => {
      const x = at[i]!;
      // The name of a rate outside of the visible span stands at that end of the axis.
      foot.hidden = clampRate(rule.lr, visibleSpan) !== rule.lr;
      const middle = middles[i]!;
      button.style.left = `${middle - widths[i]! / 2}px`;
      foot.style.left = `${x}px`;
      foot.style.top = `${place.bottom}px`;
      const points = [
        [x, place.bottom],
        [x, top],
        [middle, top + LEADER],
      ];
      setAttribute(leader, "points", points.join(" "));
    });
  }

  /** Shows name and rate of a tick, and a line at its rate; null hides them. */
  private showTip(tick: Tick | null): void {
    const { place } = this;
    this.pointed = tick;
    this.guide.hidden = this.tip.hidden = !tick || !place;
    if (!tick || !place) return;
    const { rule } = tick;
    const { visibleSpan } = this.session;
    const act = rule.lr === this.session.lr ? "chosen" : "click to choose it";
    const lines = [nameOf(rule), rule.meaning, rule.inside ? act : ""];
    setText(this.tip, lines.filter(Boolean).join("\n"));
    const at = across(clampRate(rule.lr, visibleSpan), visibleSpan, place);
    this.guide.style.cssText = `left:${at}px;top:${place.top}px;height:${place.bottom - place.top}px`;
    const width = this.tip.offsetWidth;
    this.tip.style.left = `${inside(at - width / 2, width, this.el.offsetWidth)}px`;
    this.tip.style.top = `${place.bottom - this.tip.offsetHeight - 14}px`;
  }
}
