// Where a session stands, for the choice of what the user is led to.
import type { Session } from "../state/session";
import type { Situation } from "../state/tour";
import { describeNextStep } from "../text/words";

export function situationOf(session: Session): Situation {
  const { displayedStatus, detail, lr, runs, store, others, connection, trying } = session;
  const refined = session.refines(runs.active);
  return {
    state: displayedStatus.state,
    trying,
    rate: lr !== null,
    rows: Boolean(store.current?.length) || others.length > 0,
    connected: connection.connected,
    refine: !runs.underWay && !refined && describeNextStep(displayedStatus, detail) !== "",
  };
}
