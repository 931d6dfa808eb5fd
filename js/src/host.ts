// The one place that leans on ipywidgets beyond anywidget's typed contract: showing another
// library's widget, bqplot's figure, inside our own element, and reading its models.
import type { AnyModel } from "@anywidget/types";
import { type Kernel, kernelBehind } from "./stream/kernel";

/** What is used of an ipywidgets model. Unlike the proxy given to us, it knows whether its comm lives. */
export interface RealModel {
  model_id: string;
  comm_live?: boolean;
  comm?: unknown;
  attributes: Record<string, unknown>;
  get(name: string): unknown;
  /** What is saved of it with the notebook. */
  get_state?(dropDefaults?: boolean): Record<string, unknown>;
  set(values: Record<string, unknown>): void;
  on(event: string, callback: (...args: unknown[]) => void, context?: unknown): void;
  off(event: string | null, callback: null, context: unknown): void;
}

/** What is used of a bqplot mark's view. */
export interface MarkView {
  el: Element;
  model: RealModel;
  send: (content: { event: string }) => void;
  touch: () => void;
}

/** What is used of the view of a bqplot figure. */
export interface FigureView {
  el: HTMLElement;
  mark_views?: { views: Promise<MarkView>[] };
  trigger(event: string): void;
  on(event: string, callback: () => void, context: unknown): void;
  off(event: null, callback: null, context: unknown): void;
  remove(): void;
}

interface Manager {
  get_model(id: string): Promise<RealModel>;
  create_view?(model: RealModel): Promise<FigureView>;
}

const PREFIX = "IPY_MODEL_";

/** The model that a serialized reference ("IPY_MODEL_…") or an id stands for; null where there is none. */
export async function realModel(host: AnyModel, reference: string): Promise<RealModel | null> {
  const manager = managerOf(host);
  const id = reference.startsWith(PREFIX) ? reference.slice(PREFIX.length) : reference;
  try {
    return (await manager?.get_model?.(id)) ?? null;
  } catch {
    return null;
  }
}

/** A figure with its marks and axes; null where the front-end cannot show one. */
export async function realFigure(host: AnyModel, reference: string): Promise<RealModel | null> {
  if (typeof managerOf(host)?.create_view !== "function") return null;
  const figure = await realModel(host, reference);
  const isModel = (part: unknown): boolean => typeof (part as RealModel | null)?.get === "function";
  // A manager that knows no other library's models may answer for them, with plain text inside.
  const whole = ["marks", "axes"].every((name) => {
    const parts = figure?.get(name);
    return Array.isArray(parts) && parts.every(isModel);
  });
  return whole ? figure : null;
}

/** How the kernel stands that a model lives in. */
export function kernelOf(host: AnyModel, model: RealModel): Kernel {
  return kernelBehind(model, managerOf(host));
}

function managerOf(host: AnyModel): Partial<Manager> | undefined {
  return host.widget_manager as unknown as Partial<Manager> | undefined;
}

/** Shows a figure inside an element until the signal aborts; null where the front-end cannot. */
export async function showFigure(
  host: AnyModel,
  figure: RealModel,
  el: HTMLElement,
  signal: AbortSignal,
): Promise<FigureView | null> {
  const manager = managerOf(host);
  if (typeof manager?.create_view !== "function") return null;
  const view = await manager.create_view(figure);
  if (signal.aborted) {
    view.remove();
    return null;
  }
  signal.addEventListener("abort", () => {
    view.remove();
  });
  el.append(view.el);
  // Figure.render waits for this; nobody but us knows that the element is in the page now.
  view.trigger("displayed");
  return view;
}

/**
 * Waits until a figure's marks are drawn, and keeps their views from writing to the kernel: every move of
 * the mouse would send a message, and nothing there listens to marks. What they meant to say, such
 * as "drag_start" and "drag_end", is told to the listener instead.
 */
export async function quietMarks(
  view: FigureView,
  listener: (mark: MarkView, event: string) => void,
  signal: AbortSignal,
): Promise<MarkView[]> {
  while (!view.mark_views && !signal.aborted) await new Promise(requestAnimationFrame);
  const marks = await Promise.all(view.mark_views?.views ?? []);
  for (const mark of marks) {
    mark.send = (content) => {
      listener(mark, content.event);
    };
    mark.touch = () => undefined;
  }
  return marks;
}
