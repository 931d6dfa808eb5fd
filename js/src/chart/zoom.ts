// Zooming by button or key.
import { rateAt, zoomed } from "../numeric/axis";
import type { Session } from "../state/session";

/** The factor of the visible span by key. */
const FACTORS: Record<string, number> = { "+": 0.5, "-": 2, "0": Infinity };

/** Zooms around the marker, or around the middle if the marker is not visible. Returns whether the key zooms. */
export function zoomBy(session: Session, key: string): boolean {
  const factor = FACTORS[key === "=" ? "+" : key];
  if (factor === undefined) return false;
  const { lr, visibleSpan, fullSpan } = session;
  const visible = lr !== null && lr >= visibleSpan.low && lr <= visibleSpan.high;
  const part = zoomed(visibleSpan, factor, visible ? lr : rateAt(0.5, visibleSpan), fullSpan);
  session.view.setZoom(part.low === fullSpan.low && part.high === fullSpan.high ? null : part);
  return true;
}
