// A trait that both the page and the kernel set.
import type { Model, Traits } from "../stream/protocol";
import { Throttle } from "../stream/throttle";

/** While a control is dragged, its value is sent at most once in this many milliseconds. */
const SEND_EVERY = 50;

export class SyncedTrait<Name extends keyof Traits> {
  value: Traits[Name];
  private readonly throttle: Throttle<Traits[Name]>;

  /**
   * @param save sends changed traits to the kernel
   * @param changed is called after every change of the value
   * @param accepts whether the page takes over a value that the kernel or a linked widget has set
   */
  constructor(
    model: Model,
    name: Name,
    save: (changes: Partial<Traits>) => void,
    private readonly changed: () => void,
    accepts: (value: Traits[Name]) => boolean = () => true,
  ) {
    this.value = model.get(name);
    this.throttle = new Throttle((value) => {
      save({ [name]: value });
    }, SEND_EVERY);
    model.on(`change:${name}`, () => {
      const value = model.get(name);
      if (value === this.value || !accepts(value)) return;
      this.value = value;
      changed();
    });
  }

  /** Sets the value in the page now, and in the kernel with the next message. */
  set(value: Traits[Name]): void {
    this.value = value;
    this.throttle.push(value);
    this.changed();
  }

  /** Sends a pending value now. */
  flush(): void {
    this.throttle.flush();
  }
}

export type SyncedTraits<Names extends keyof Traits> = {
  readonly [Name in Names]: SyncedTrait<Name>;
};

/** Binds traits by their names; `accepts` as for a single one. */
export function syncTraits<Names extends keyof Traits>(
  model: Model,
  names: readonly Names[],
  save: (changes: Partial<Traits>) => void,
  changed: () => void,
  accepts: { [Name in Names]?: (value: Traits[Name]) => boolean },
): SyncedTraits<Names> {
  const bound = names.map((name) => [
    name,
    new SyncedTrait(model, name, save, changed, accepts[name]),
  ]);
  return Object.fromEntries(bound) as SyncedTraits<Names>;
}
