// Ticks of the axes and their labels. bqplot's own ticks of a logarithmic axis mix powers of ten with 2
// and 5 times powers of ten, and read "1e+0"; its labels of a linear axis can be cut off.
import type { Span } from "../numeric/axis";
import type { Range } from "../numeric/loss-range";
import { formatLoss } from "../text/format";

export interface Ticks {
  values: number[];
  /** Text by `String(value)`, which is how bqplot looks it up. */
  labels: Record<string, string>;
}

/**
 * At most `max` powers of ten; 1, 2 and 5 times powers of ten if fewer than two are in the span; and if
 * fewer than two of those are, a few round numbers, whose short labels have room at the ends of the axis.
 */
export function rateTicks({ low, high }: Span, max = 10): Ticks {
  const inside = (value: number): boolean =>
    value >= low * (1 - 1e-12) && value <= high * (1 + 1e-12);
  const exponents: number[] = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    exponents.push(e);
  const decades = exponents.filter((e) => inside(power(e)));
  const stride = Math.ceil(decades.length / max);
  let values = decades.filter((e) => e % stride === 0).map(power);
  if (values.length < 2) {
    values = exponents.flatMap((e) => [1, 2, 5].map((m) => Number(`${m}e${e}`))).filter(inside);
  }
  if (values.length < 2) {
    const { values: round } = lossTicks({ min: low, max: high }, 5);
    values = round.filter((_, i) => round.length < 5 || i % 2 === 0);
  }
  const digits = digitsFor(values, high - low, 1, (value, more) => value.toExponential(more));
  return { values, labels: labelled(values, (value) => powerOfTen(value, digits)) };
}

/** About `count` round numbers inside the range, never fewer than two. */
export function lossTicks({ min, max }: Range, count = 6): Ticks {
  const rough = (max - min) / count;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5, 10].find((m) => m * unit >= rough * (1 - 1e-9)) ?? 10);
  let values: number[] = [];
  // A round end belongs to them in spite of rounding.
  const last = max / step + 1e-9;
  for (let i = Math.ceil(min / step - 1e-9); i <= last && values.length < 20; i++) {
    // Rounded, so that 3 * 0.1 is 0.3.
    values.push(Number((i * step).toPrecision(12)));
  }
  if (values.length < 2) values = [min, max];
  const digits = digitsFor(values, max - min, 4, formatLoss);
  // More digits have no room beside the axis: the first loss, and what the others add to it.
  const [first] = values;
  const text = (value: number): string =>
    digits < 6 || value === first
      ? formatLoss(value, Math.min(digits, 5))
      : `+${formatLoss(value - first!)}`;
  return { values, labels: labelled(values, text) };
}

/** Powers of ten, or round numbers within less than a decade; the range is in powers of ten. */
export function logTicks({ min, max }: Range): Ticks {
  // Above the smallest double, or it would underflow to 0.
  const [low, high] = [Math.max(10 ** min, 1e-320), 10 ** max];
  const narrow = max - min < 1;
  const { values, labels } = narrow
    ? lossTicks({ min: low, max: high })
    : rateTicks({ low, high }, 8);
  const texts = narrow ? labels : labelled(values, (value) => formatLoss(value));
  const places = values.map((value) => Math.log10(value));
  return { values: places, labels: labelled(places, (_, i) => texts[String(values[i])]!) };
}

/** Enough digits that no label is off by more than 2% of the axis. */
function digitsFor(
  values: number[],
  width: number,
  digits: number,
  text: (value: number, digits: number) => string,
): number {
  const off = (value: number): number => Math.abs(Number(text(value, digits)) - value);
  while (digits < 15 && values.some((value) => off(value) > 0.02 * width)) digits++;
  return digits;
}

function labelled(
  values: number[],
  text: (value: number, i: number) => string,
): Record<string, string> {
  return Object.fromEntries(values.map((value, i) => [String(value), text(value, i)]));
}

function power(exponent: number): number {
  return Number(`1e${exponent}`);
}

const SUPERSCRIPT: Record<string, string> = { "-": "⁻" };
for (let digit = 0; digit <= 9; digit++) SUPERSCRIPT[digit] = "⁰¹²³⁴⁵⁶⁷⁸⁹".charAt(digit);

/** "10⁻³", "2·10⁻³" */
function powerOfTen(value: number, digits: number): string {
  const [mantissa, exponent] = value
    .toExponential(digits)
    .replace(/\.?0+e/, "e")
    .split("e");
  const raised = String(Number(exponent)).replace(/[-\d]/g, (sign) => SUPERSCRIPT[sign] ?? sign);
  return `${mantissa === "1" ? "" : `${mantissa}·`}10${raised}`;
}
