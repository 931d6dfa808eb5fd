// Where a session stands, for the choice of what the user is led to.
import type { Session } from "../state/session";
import type { Situation } from "../state/tour";

export function situationOf(session: Session): Situation {
  const { displayedStatus, check, lr, store, others, connection } = session;
  return {
    state: displayedStatus.state,
    trying: check.underWay,
    rate: lr !== null,
    rows: Boolean(store.current?.length) || others.length > 0,
    connected: connection.connected,
  };
}
