// Events in the manner of Backbone, of which bqplot's models and views are made.
import type { RealModel } from "../host";

type Callback = (...args: unknown[]) => void;

export class Events {
  private listeners: { event: string; callback: Callback; context: unknown }[] = [];

  on(event: string, callback: Callback, context?: unknown): void {
    this.listeners.push({ event, callback, context });
  }

  off(event: string | null, _callback: null, context: unknown): void {
    this.listeners = this.listeners.filter(
      (each) => each.context !== context || (event !== null && each.event !== event),
    );
  }

  trigger(event: string): void {
    for (const { callback } of this.listeners.filter((each) => each.event === event)) callback();
  }
}

/** A model without a comm: it lives in this page alone. */
export class PageModel extends Events implements RealModel {
  constructor(private readonly values: Record<string, unknown>) {
    super();
  }

  get(name: string): unknown {
    return this.values[name];
  }

  /** Sets values; triggers "change:NAME" for each that differs, then "change". */
  set(values: Record<string, unknown>): void {
    const changed = Object.keys(values).filter((name) => values[name] !== this.values[name]);
    Object.assign(this.values, values);
    for (const name of changed) this.trigger(`change:${name}`);
    if (changed.length > 0) this.trigger("change");
  }
}
