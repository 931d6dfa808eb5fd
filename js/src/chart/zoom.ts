// Zooming by button or key.
import { rateAt, scaled } from "../numeric/axis";
import type { Session } from "../state/session";

/** What one press of a zoom button or key does. */
const FACTORS: Record<string, number> = { "+": 0.5, "-": 2, "0": Infinity };

/** Zooms around the marker, or the middle where it is out of sight; whether the key means that. */
export function zoomBy(session: Session, key: string): boolean {
  const factor = FACTORS[key === "=" ? "+" : key];
  if (factor === undefined) return false;
  const { lr, shown, whole } = session;
  const seen = lr !== null && lr >= shown.low && lr <= shown.high;
  const part = scaled(shown, factor, seen ? lr : rateAt(0.5, shown), whole);
  session.setZoom(part.low === whole.low && part.high === whole.high ? null : part);
  return true;
}
