import type { Render } from "@anywidget/types";
import { realModel, showFigure } from "./host";
import "./widget.css";

const render: Render<{ figure: string }> = async ({ model, el, signal }) => {
  const root = document.createElement("div");
  root.className = "lrwidget";
  el.append(root);
  const figure = await realModel(model, model.get("figure"));
  if (figure) await showFigure(model, figure, root, signal);
};

export default { render };
