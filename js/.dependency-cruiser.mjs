// Who may import whom in src/; run by `npm run lint`. Types count as imports.

/** The folders from the ground up, each with the folders that it may import beside itself. */
const LAYERS = {
  numeric: [],
  stream: [],
  text: ["numeric", "stream"],
  state: ["numeric", "stream"],
  export: ["numeric", "stream", "text", "state", "dom"],
  chart: ["numeric", "stream", "text", "state", "dom", "host"],
  controls: ["numeric", "stream", "text", "state", "dom", "export", "chart"],
  trials: ["numeric", "stream", "text", "state", "dom", "chart"],
  check: ["numeric", "stream", "text", "state", "dom", "chart", "controls", "trials"],
  refine: ["numeric", "stream", "text", "state", "dom", "chart", "controls", "trials"],
  standin: ["numeric", "dom", "host", "chart", "trials"],
};

/** The same for the files at the top; view.ts and widget.ts may import everything below them. */
const FILES = { dom: [], host: ["stream"] };

const inside = (names) =>
  names.map((name) => (name in LAYERS ? `^src/${name}/` : `^src/${name}\\.ts$`));

const layers = Object.entries({ ...LAYERS, ...FILES }).map(([name, below]) => ({
  name: `layer-${name}`,
  comment: `${name} may import only ${below.join(", ") || "nothing else of src/"}`,
  severity: "error",
  from: { path: inside([name]) },
  to: { path: "^src/", pathNot: [...inside([name, ...below]), "\\.css$"] },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-orphans",
      comment: "a file that nothing imports and that imports nothing is dead",
      severity: "error",
      from: { path: "^src/", orphan: true, pathNot: ["\\.d\\.ts$"] },
      to: {},
    },
    {
      name: "nothing-unused",
      comment: "every file is reached from widget.ts",
      severity: "error",
      from: { path: "^src/widget\\.ts$" },
      to: { path: "^src/", pathNot: "\\.d\\.ts$", reachable: false },
    },
    {
      name: "only-the-entry-imports-the-view",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/widget\\.ts$" },
      to: { path: "^src/(view|widget)\\.ts$" },
    },
    {
      name: "folders-are-layers",
      comment: "a new folder needs its line in LAYERS",
      severity: "error",
      from: {},
      to: { path: "^src/[^/]+/", pathNot: inside(Object.keys(LAYERS)) },
    },
    {
      name: "no-unresolved",
      severity: "error",
      from: { path: "^src/" },
      to: { couldNotResolve: true },
    },
    ...layers,
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
  },
};
