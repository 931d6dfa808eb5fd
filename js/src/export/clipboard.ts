import type { Session } from "../state/session";

/** Puts text on the clipboard and says how that went; `name` stands for a long text. */
export async function copyText(session: Session, text: string, name = text): Promise<void> {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copied = false;
  }
  session.view.notify(copied, copied ? `Copied: ${name}` : `The browser refuses to copy: ${text}`);
}
