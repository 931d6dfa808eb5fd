// The only module that uses more of ipywidgets than anywidget's types describe: it shows bqplot's
// figure inside our own element and reads its models. What else is shown there has the same interfaces.
import type { AnyModel } from "@anywidget/types";
import { type KernelState, kernelState } from "./stream/kernel";

/** The used part of an ipywidgets model. Unlike anywidget's proxy, it knows whether its comm is open. */
export interface RealModel {
  comm_live?: boolean;
  comm?: unknown;
  get(name: string): unknown;
  /** The traits that are saved with the notebook. */
  get_state?(dropDefaults?: boolean): Record<string, unknown>;
  set(values: Record<string, unknown>): void;
  on(event: string, callback: (...args: unknown[]) => void, context?: unknown): void;
  off(event: string | null, callback: null, context: unknown): void;
}

/** The used part of a bqplot mark's view. */
export interface MarkView {
  el: Element;
  model: RealModel;
  send: (content: { event: string }) => void;
  touch: () => void;
}

/** The used part of a bqplot figure's view. */
export interface FigureView {
  el: HTMLElement;
  mark_views?: { views: Promise<MarkView>[] };
  trigger(event: string): void;
  on(event: string, callback: () => void, context: unknown): void;
  off(event: null, callback: null, context: unknown): void;
  remove(): void;
}

/** A figure's model, and what makes a view of it. */
export interface Figure {
  model: RealModel;
  createView(): Promise<FigureView>;
}

interface Manager {
  get_model(id: string): Promise<RealModel>;
  create_view?(model: RealModel): Promise<FigureView>;
}

const PREFIX = "IPY_MODEL_";

/** The model of a serialized reference ("IPY_MODEL_…") or of an id; null if there is none. */
export async function realModel(host: AnyModel, reference: string): Promise<RealModel | null> {
  const manager = managerOf(host);
  const id = reference.startsWith(PREFIX) ? reference.slice(PREFIX.length) : reference;
  try {
    return (await manager?.get_model?.(id)) ?? null;
  } catch {
    return null;
  }
}

/** Whether the front-end shows other widgets inside this one. */
export function nestsWidgets(host: AnyModel): boolean {
  return typeof managerOf(host)?.create_view === "function";
}

/** The kernel's figure with its marks and axes; null if the front-end cannot show it. */
export async function realFigure(host: AnyModel, reference: string): Promise<Figure | null> {
  const model = await realModel(host, reference);
  const isModel = (part: unknown): boolean => typeof (part as RealModel | null)?.get === "function";
  // A manager that has no bqplot may return a figure whose marks are unresolved references.
  const complete = ["marks", "axes"].every((name) => {
    const parts = model?.get(name);
    return Array.isArray(parts) && parts.every(isModel);
  });
  if (!model || !complete) return null;
  return { model, createView: () => managerOf(host)!.create_view!(model) };
}

/** The height of the kernel's figure in pixels; NaN where the front-end cannot tell. */
export async function figureHeight(host: AnyModel, reference: string): Promise<number> {
  // Where no references are resolved, this one is an id.
  const layout = (await realModel(host, reference))?.get("layout");
  const model = typeof layout === "string" ? await realModel(host, layout) : null;
  return parseInt(String(model?.get("height")));
}

/** The state of the kernel that a model belongs to. */
export function kernelStateOf(host: AnyModel, model: RealModel): KernelState {
  return kernelState(model, managerOf(host));
}

function managerOf(host: AnyModel): Partial<Manager> | undefined {
  return host.widget_manager as unknown as Partial<Manager> | undefined;
}

/** Shows a figure inside an element until the signal aborts; null if it has already. */
export async function showFigure(
  figure: Figure,
  el: HTMLElement,
  signal: AbortSignal,
): Promise<FigureView | null> {
  const view = await figure.createView();
  if (signal.aborted) {
    view.remove();
    return null;
  }
  signal.addEventListener("abort", () => {
    view.remove();
  });
  el.append(view.el);
  // bqplot's Figure.render waits for this event.
  view.trigger("displayed");
  return view;
}

/**
 * Waits until a figure's marks are drawn, and keeps their views from sending messages to the kernel:
 * they would send one at every move of the mouse, and nothing in the kernel listens. The listener gets
 * the events instead, such as "drag_start" and "drag_end".
 */
export async function silenceMarks(
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
  signal.addEventListener("abort", () => {
    // The views of marks stay with their models, which the kernel may keep.
    listener = () => undefined;
  });
  return marks;
}
