import type { Session } from "../state/session";

/** Copies text and reports the outcome; `name` replaces a long text in the report. */
export async function copyText(session: Session, text: string, name = text): Promise<void> {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copied = false;
  }
  session.view.notify(copied, copied ? `Copied: ${name}` : `The browser refuses to copy: ${text}`);
}
