// Bundles the front end into the Python package: one ES module and one style sheet,
// with nothing left to load at run time.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { minify } from "terser";
import { MEMBER, withMembersMarked } from "./members.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** @type {esbuild.BuildOptions} */
const options = {
  entryPoints: { widget: here("src/widget.ts") },
  outdir: here("../lrwidget/static"),
  bundle: true,
  inject: [here("shorthands.mjs")],
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
  const file = here("../lrwidget/static/widget.js");
  // A kilobyte less than by esbuild alone: it knows what is used once, and where an arrow will do.
  const { code } = await minify(readFileSync(file, "utf8"), {
    module: true,
    ecma: 2020,
    // What it calls unsafe is getters that do something and builtins that were replaced: not here.
    compress: {
      passes: 3,
      unsafe: true,
      unsafe_arrows: true,
      pure_getters: true,
      keep_fargs: false,
    },
  });
  writeFileSync(file, code);
  const limit = 60 * 1024;
  const size = Buffer.byteLength(code);
  console.log(`minified: ${size} of ${limit} bytes`);
  if (size > limit) throw new Error(`widget.js has ${size} bytes; the limit is ${limit}`);
}
