// The figure where the front end has no view for that of the kernel (lrwidget/widget/figure.py): the same
// marks on the same scales, made in the page. Both are held to tests/vectors/figure.json.
import { MARK_STYLES } from "../chart/styles";
import type { Figure } from "../host";
import { PageModel } from "./events";
import { StandInView } from "./view";

/** The marks that do not move with the loss axis. */
const UPRIGHT = ["suggestion", "rule", "marker"];

/** The height of a figure that cannot tell its own. */
const HEIGHT = 360;

/** The figure's model, with all marks empty. */
export function standInModel(height: number): PageModel {
  const lr = new PageModel({ min: 1, max: 10 });
  const loss = new PageModel({ min: 0, max: 1 });
  const upright = new PageModel({ min: 0, max: 1 });
  const axis = (label: string, scale: PageModel): PageModel =>
    new PageModel({ label, scale, tick_values: [], tick_labels: {} });
  return new PageModel({
    marks: Object.keys(MARK_STYLES).map(
      (label) =>
        new PageModel({
          labels: [label],
          x: [],
          y: [],
          scales: { x: lr, y: UPRIGHT.includes(label) ? upright : loss },
          enable_move: label === "marker",
        }),
    ),
    axes: [axis("learning rate", lr), axis("loss", loss)],
    fig_margin: { top: 26, bottom: 46, left: 60, right: 18 },
    height: height > 0 ? height : HEIGHT,
  });
}

/** A figure of this height in pixels. */
export function standIn(height: number): Figure {
  const model = standInModel(height);
  return { model, createView: () => Promise.resolve(new StandInView(model)) };
}
