// Bundles the front end into the Python package: one ES module and one style sheet,
// with nothing left to load at run time.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

/** The most bytes that script and style may have together, each gzipped: a page downloads both. */
const LIMIT = 40 * 1024;

/** The licences of the packages of which the bundle holds code. */
const NOTICES = "../THIRD_PARTY_NOTICES.md";

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

/** Name and version of each npm package of which the bundle holds code. */
function bundledPackages({ inputs }) {
  const folders = Object.keys(inputs).flatMap((input) => {
    const [, folder] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input) ?? [];
    return folder === undefined ? [] : [folder];
  });
  return [...new Set(folders)].map((folder) => {
    const { name, version } = JSON.parse(
      readFileSync(join(here("."), folder, "package.json"), "utf8"),
    );
    return `${name} ${version}`;
  });
}

/** Writes the minified bundle. Throws, and writes nothing, if it is larger than LIMIT or holds a
 *  package whose licence is not in the notices, which every wheel carries. */
function build() {
  const { outputFiles, metafile } = esbuild.buildSync({
    ...options,
    absWorkingDir: here("."),
    logLevel: "warning",
    metafile: true,
    write: false,
  });
  const notices = readFileSync(here(NOTICES), "utf8").split("\n");
  const unlisted = bundledPackages(metafile).filter((name) => !notices.includes(`## ${name}`));
  if (unlisted.length > 0)
    throw new Error(
      `the bundle holds ${unlisted.join(", ")}: put the licence of each into ${NOTICES.slice(3)}, ` +
        `under the heading "## name version"`,
    );
  const size = outputFiles.reduce(
    (sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length,
    0,
  );
  console.log(`script and style: ${size} of ${LIMIT} bytes gzipped`);
  if (size > LIMIT) throw new Error(`script and style have ${size} bytes gzipped, over ${LIMIT}`);
  mkdirSync(options.outdir, { recursive: true });
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
}

if (process.argv.includes("--watch")) {
  // Inline, since a page gets the module as text and has no address from which to load a file.
  const context = await esbuild.context({ ...options, sourcemap: "inline" });
  // Ends with a minified build, synchronously, so that a second signal cannot interrupt it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.once(signal, () => {
      build();
      // Otherwise esbuild's own process keeps our output open for a while.
      void esbuild.stop().finally(() => process.exit());
    });
  }
  await context.watch();
} else build();
