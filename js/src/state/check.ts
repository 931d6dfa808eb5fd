// The check of a few rates; each "sweep" of its table is the trial of one rate.
import type { CheckDetail } from "../stream/protocol";
import { Trials } from "./trials";

const NO_DETAIL: CheckDetail = { lrs: [], final_losses: [], stop_reasons: [] };

/** Its suggestion is the best rate. */
export class Check extends Trials<"check", CheckDetail> {
  constructor(kernelEnded?: () => boolean) {
    super("check", NO_DETAIL, kernelEnded);
  }
}
