// The menu to save and copy picture, rows and summary. It needs no kernel.
import { button, h, on } from "../dom";
import type { Session } from "../state/session";
import { copyText } from "./clipboard";
import { pictureOf, pngOf, sourceOf } from "./picture";
import { csvOf, type Fact, fileName, markdownOf, summaryOf } from "./summary";

/** The facts of the summary that stand below the picture. */
const CAPTION = ["run", "range", "chosen rate", "suggested rate", "refined rate"];

export class SaveMenu {
  readonly el: HTMLDetailsElement;

  constructor(session: Session, chart: HTMLElement) {
    const summary = (): Fact[] => {
      const { runs, lr, lrRange, refinement } = session;
      const own = session.refines(runs.active) ? refinement : null;
      return summaryOf(runs.active, lr, lrRange, own);
    };
    const picture = (): SVGSVGElement =>
      pictureOf(
        chart,
        summary()
          .filter(({ name }) => CAPTION.includes(name))
          .map(({ name, text }) => `${name}: ${text}`),
      );
    const actions: Record<string, () => unknown> = {
      "Save as PNG": async () => {
        download("png", await pngOf(picture()));
      },
      "Save as SVG": () => {
        download("svg", sourceOf(picture()), "image/svg+xml");
      },
      "Save as CSV": () => {
        const { table, label } = session.runs.active;
        download("csv", csvOf(table), "text/csv", label);
      },
      "Copy as Markdown": () => copyText(session, markdownOf(summary()), "a table in Markdown"),
    };
    const opener = h("summary.tool", {}, "Save");
    this.el = h("details.save", {}, opener);
    const close = (): void => {
      this.el.open = false;
      opener.focus();
    };
    const items = Object.entries(actions).map(([name, act]) => {
      const item = button("tool", name);
      on(item, "click", () => {
        void Promise.resolve(act()).catch((error: unknown) => {
          session.view.notify(false, `${name} failed: ${String(error)}`);
        });
        close();
      });
      return item;
    });
    this.el.append(h("div", { role: "group", "aria-label": "Save or copy" }, ...items));
    on(this.el, "keydown", (event) => {
      if (event.key === "Escape") close();
    });
    on(this.el, "focusout", ({ relatedTarget: to }) => {
      // Where a click moves no focus, there is none.
      if (to && !this.el.contains(to as Node)) this.el.open = false;
    });
  }
}

function download(kind: string, content: Blob | string | null, type = "", label = ""): void {
  if (content === null) throw new Error("the browser cannot make the picture");
  const href = URL.createObjectURL(new Blob([content], { type }));
  const link = h("a", { href, download: fileName(kind, label), hidden: true });
  // Some hosts, such as VS Code, intercept clicks at the body.
  document.body.append(link);
  link.click();
  link.remove();
  // The browser may start to read it later.
  setTimeout(() => {
    URL.revokeObjectURL(href);
  }, 10_000);
}
