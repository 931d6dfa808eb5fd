// The one place that leans on ipywidgets beyond anywidget's typed contract: showing another
// library's widget, bqplot's figure, inside our own element, and reading its models.
import type { AnyModel } from "@anywidget/types";

/** What is used of an ipywidgets model. Unlike the proxy given to us, it knows whether its comm lives. */
export interface RealModel {
  model_id: string;
  comm_live?: boolean;
  attributes: Record<string, unknown>;
  get(name: string): unknown;
  /** What is saved of it with the notebook. */
  get_state(dropDefaults?: boolean): Record<string, unknown>;
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
  const manager = host.widget_manager as unknown as Partial<Manager> | undefined;
  const id = reference.startsWith(PREFIX) ? reference.slice(PREFIX.length) : reference;
  try {
    return (await manager?.get_model?.(id)) ?? null;
  } catch {
    return null;
  }
}

/** Shows a figure inside an element until the signal aborts; null where the front-end cannot. */
export async function showFigure(
  host: AnyModel,
  figure: RealModel,
  el: HTMLElement,
  signal: AbortSignal,
): Promise<FigureView | null> {
  const manager = host.widget_manager as unknown as Partial<Manager> | undefined;
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
