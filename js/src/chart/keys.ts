/** How far a key moves along the axis: 1% of it, with Shift or Page keys 10%; null for other keys. */
export function strideOf(event: KeyboardEvent): number | null {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  const stride = event.shiftKey ? 0.1 : 0.01;
  const strides: Record<string, number> = {
    ArrowLeft: -stride,
    ArrowDown: -stride,
    ArrowRight: stride,
    ArrowUp: stride,
    PageDown: -0.1,
    PageUp: 0.1,
    Home: -Infinity,
    End: Infinity,
  };
  return strides[event.key] ?? null;
}
