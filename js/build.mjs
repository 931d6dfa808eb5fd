// Bundles the front end into the Python package: one ES module and one style sheet,
// with nothing left to load at run time.
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { MEMBER, withMembersMarked } from "./members.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** @type {esbuild.BuildOptions} */
const options = {
  entryPoints: { widget: here("src/widget.ts") },
  outdir: here("../lrwidget/static"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  logLevel: "info",
};

if (process.argv.includes("--watch")) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  const sources = withMembersMarked(here("tsconfig.json"));
  const members = {
    name: "members",
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
        contents: sources.get(path.replaceAll("\\", "/")),
        loader: "js",
      }));
    },
  };
  await esbuild.build({ ...options, mangleProps: MEMBER, plugins: [members] });
  const limit = 60 * 1024;
  const { size } = statSync(here("../lrwidget/static/widget.js"));
  if (size > limit) {
    throw new Error(`widget.js has ${size} bytes; the limit is ${limit}`);
  }
}
