import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const src = fileURLToPath(new URL("../src/", import.meta.url));
const entries = readdirSync(src, { withFileTypes: true, recursive: true });
const files = entries.filter((entry) => entry.isFile());

describe("the layout of src", () => {
  it("has at most 8 files outside of its folders", () => {
    const top = readdirSync(src, { withFileTypes: true }).filter((entry) => entry.isFile());
    expect(top.length).toBeGreaterThan(0);
    expect(top.length).toBeLessThanOrEqual(8);
  });
  it("has no file above 400 lines", () => {
    expect(files.length).toBeGreaterThan(50);
    const long = files.filter(
      ({ parentPath, name }) =>
        readFileSync(`${parentPath}/${name}`, "utf8").split("\n").length > 401,
    );
    expect(long.map(({ name }) => name)).toEqual([]);
  });
});
