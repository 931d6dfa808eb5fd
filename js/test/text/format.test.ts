import { describe, expect, it } from "vitest";
import { formatLoss, formatRate, formatTimeLeft, parseRate } from "../../src/text/format";
import { casesOf } from "../vectors";

interface RateCase {
  name: string;
  lr: number;
  digits: number;
  text: string;
}

describe("formatRate", () => {
  it.each(casesOf<RateCase>("rates.json"))("writes $name as $text", ({ lr, digits, text }) => {
    expect(formatRate(lr, digits)).toBe(text);
  });
  it("has two digits unless asked for more", () => {
    expect(formatRate(0.00123456)).toBe("1.2e-3");
  });
});

describe("formatLoss", () => {
  it.each([
    [2.302585, "2.303"],
    [0, "0"],
    [-1.5, "-1.5"],
    [123456, "1.23e5"],
    [0.00012, "1.2e-4"],
    [NaN, "not a number"],
    [Infinity, "infinite"],
    [-Infinity, "minus infinite"],
  ])("writes %d as %s", (loss, text) => {
    expect(formatLoss(loss)).toBe(text);
  });
});

describe("formatTimeLeft", () => {
  it.each([
    [0, 0, 100, ""],
    [5, 50, 100, "5 s left"],
    [10, 100, 100, ""],
    [60, 1, 2, "1 min left"],
    [60, 1, 11, "10 min left"],
    [3599, 1, 2, "1 h 0 min left"],
    [60, 1, 101, "1 h 40 min left"],
  ])("after %d s, step %i of %i", (elapsed, step, steps, text) => {
    expect(formatTimeLeft(elapsed, step, steps)).toBe(text);
  });
});

describe("parseRate", () => {
  it.each([
    ["1e-3", 1e-3],
    [" 0.01 ", 0.01],
    [".5", 0.5],
    ["3E-4", 3e-4],
    ["2.", 2],
    ["+1e-2", 1e-2],
    ["1e−3", 1e-3],
  ])("reads %j", (text, lr) => {
    expect(parseRate(text)).toBe(lr);
  });
  it.each(["", "abc", "1e-", "1,5", "0", "-1e-3", "1e-3x", "Infinity", "NaN", "0x10", "1e999"])(
    "says what is wrong with %j",
    (text) => {
      expect(parseRate(text)).toMatch(/\w+ .*\./);
    },
  );
});
