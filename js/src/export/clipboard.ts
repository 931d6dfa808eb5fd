import type { Session } from "../state/session";

/** Copies text and reports the outcome; `name` replaces a long text in the report. */
export async function copyText(session: Session, text: string, name = text): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    session.view.notify(true, `Copied: ${name}`);
  } catch {
    session.view.notify(false, `The browser refuses to copy: ${text}`);
  }
}
