// The bar above the plot: the mode of the mouse in the plot, and the zoom.
import { zoomBy } from "../chart/zoom";
import { button, h, on, setAttribute, setText } from "../dom";
import type { Session } from "../state/session";
import type { Mode } from "../state/view-state";

interface ModeWords {
  name: string;
  hint: string;
}

const MODES: Record<Mode, ModeWords> = {
  pick: { name: "Pick", hint: "Click or drag in the plot to choose the rate." },
  zoom: { name: "Zoom", hint: "Drag across the part of the plot to look at." },
  range: { name: "Range", hint: "Drag across a range of rates, for a schedule." },
};
export class Toolbar {
  readonly el: HTMLElement;
  private readonly modes: Record<Mode, HTMLButtonElement>;
  private readonly zooms: HTMLElement;
  private readonly reset: HTMLButtonElement;
  private readonly clear: HTMLButtonElement;
  private readonly hint = h("span.facts");

  constructor(
    private readonly session: Session,
    ...more: HTMLElement[]
  ) {
    const choose = (mode: Mode): HTMLButtonElement =>
      tool(
        MODES[mode].name,
        () => {
          session.view.setMode(mode);
        },
        MODES[mode].hint,
      );
    this.modes = { pick: choose("pick"), zoom: choose("zoom"), range: choose("range") };
    const zoom = (name: string, key: string, sign: string): HTMLButtonElement => {
      const button = tool("", () => zoomBy(session, key), `${name} (${key} on the marker)`);
      setAttribute(button, "aria-label", name);
      button.dataset.sign = sign;
      return button;
    };
    this.zooms = h("div.tools", {}, zoom("Zoom in", "+", "+"), zoom("Zoom out", "-", "−"));
    this.reset = tool("Reset zoom", () => {
      session.view.setZoom(null);
    });
    this.clear = tool("Clear range", () => {
      session.setRange(null);
    });
    this.el = h(
      "div.toolbar",
      {},
      h("div.tools", { role: "group", "aria-label": "In the plot" }, ...Object.values(this.modes)),
      this.zooms,
      this.reset,
      this.clear,
      this.hint,
      ...more,
    );
  }

  update(): void {
    const { lrRange } = this.session;
    const { mode, zoom } = this.session.view;
    for (const [name, button] of Object.entries(this.modes)) {
      setAttribute(button, "aria-pressed", String(name === mode));
    }
    this.zooms.hidden = mode !== "zoom";
    hide(this.reset, zoom === null, this.modes.zoom);
    hide(this.clear, mode !== "range" || lrRange === null, this.modes.range);
    setText(this.hint, MODES[mode].hint);
  }
}

/** A button that is hidden passes the focus to `next`. */
function hide(element: HTMLButtonElement, hidden: boolean, next: HTMLButtonElement): void {
  const focused = element === document.activeElement;
  element.hidden = hidden;
  if (hidden && focused) next.focus();
}

function tool(text: string, act: () => void, title = ""): HTMLButtonElement {
  const element = button("tool", text, { title });
  on(element, "click", act);
  return element;
}
