// Python code that uses the chosen rate or range; it expects `model` or `optimizer` to exist.
import type { OptimizerRecipe } from "../stream/protocol";

export interface Snippet {
  name: string;
  code: string;
}

/** A rate as a Python literal with three digits: "1.2e-03". */
export function pythonRate(lr: number): string {
  return lr
    .toExponential(2)
    .replace(/\.?0+e/, "e")
    .replace(/\b\d$/, "0$&");
}

/** The snippets for a rate and for a range of rates. */
export function snippetsFor(
  optimizer: OptimizerRecipe | null | undefined,
  lr: number | null,
  range: readonly [number, number] | null,
): Snippet[] {
  const snippets: Snippet[] = [];
  const scheduler = "scheduler = torch.optim.lr_scheduler.";
  // Without momentum in the optimizer, OneCycleLR cannot cycle it.
  const noMomentum = optimizer?.momentum ? "" : ", cycle_momentum=False";
  if (lr !== null) {
    const rest = optimizer?.arguments ? `, ${optimizer.arguments}` : "";
    const code = optimizer
      ? `optimizer = ${optimizer.name}(model.parameters(), lr=${pythonRate(lr)}${rest})`
      : `for group in optimizer.param_groups:\n    group["lr"] = ${pythonRate(lr)}`;
    snippets.push({ name: "optimizer", code });
  }
  const maxRate = range?.[1] ?? lr;
  if (maxRate !== null) {
    const start = range ? `, div_factor=${Number((range[1] / range[0]).toPrecision(3))}` : "";
    const code = `${scheduler}OneCycleLR(\n    optimizer, max_lr=${pythonRate(maxRate)}${start},\n    total_steps=1000${noMomentum},  # all steps of the training\n)`;
    snippets.push({ name: "OneCycleLR", code });
  }
  if (range) {
    // Older versions of CyclicLR cannot cycle Adam's first beta, and its paper does not.
    const fixed = optimizer?.momentum === "momentum" ? "" : ", cycle_momentum=False";
    const code = `${scheduler}CyclicLR(\n    optimizer, base_lr=${pythonRate(range[0])}, max_lr=${pythonRate(range[1])},\n    step_size_up=200${fixed},  # steps from base_lr to max_lr\n)`;
    snippets.push({ name: "CyclicLR", code });
  }
  return snippets;
}
