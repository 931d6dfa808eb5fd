// The messages of the page, compared with the vectors that also test lrwidget/stream/protocol.py.
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type CheckDetail,
  type CheckMessage,
  COMMANDS,
  type Detail,
  type ExportedMessage,
  type FromKernel,
  type FromPage,
  type Landmarks,
  type Legend,
  type OptimizerRecipe,
  type RefinementDetail,
  type RefinementMessage,
  type RowsMessage,
  RUN_ACTIONS,
  RUN_STATES,
  type SavedCheck,
  type SavedRefinement,
  type SavedRun,
  type Traits,
  type TrialDetail,
} from "../../src/stream/protocol";
import type { Session } from "../../src/state/session";
import { type FakeModel, open } from "../state/fake-model";

type WithHex<T> = Omit<T, "data"> & { data: string };

interface Table {
  name: string;
  rows: [number, number | "NaN" | "Infinity"][];
}

interface Wire {
  names: { states: string[]; commands: string[]; run_actions: string[] };
  fields: Record<string, string[]>;
  traits: string[];
  set_by_page: string[];
  from_kernel: (Table & {
    content: RowsMessage | CheckMessage | RefinementMessage;
    buffers: string[];
  })[];
  exported: ExportedMessage[];
  saved: (Table & {
    kind: "rows" | "check" | "refinement";
    value: WithHex<SavedRun | SavedCheck | SavedRefinement>;
  })[];
  from_page: { content: FromPage }[];
}

const file = new URL("../../../tests/vectors/wire.json", import.meta.url);
const wire = JSON.parse(readFileSync(file, "utf8")) as Wire;

/** The types of messages and their values, by their names in the vectors. */
type Described = { [M in FromPage as M["type"]]: M } & {
  [M in FromKernel as Exclude<M["type"], "sync">]: M;
} & {
  saved_run: SavedRun;
  saved_check: SavedCheck;
  saved_refinement: SavedRefinement;
  detail: Detail;
  landmarks: Landmarks;
  optimizer: OptimizerRecipe;
  check_detail: CheckDetail;
  refinement_detail: RefinementDetail;
  trial: TrialDetail;
  legend: Legend;
};
type Keys<T> = Record<keyof T, true>;

const status = { state: true, step: true, steps: true, elapsed: true } as const;
const outcome = { error: true, suggestion: true, detail: true, model_id: true } as const;
const place = { type: true, run: true, offset: true, starts: true } as const;
const rows: Keys<RowsMessage> = { ...place, ...status, ...outcome, lr: true };
const check: Keys<CheckMessage> = { ...place, ...status, ...outcome };
const refinement: Keys<RefinementMessage> = { ...rows };

/** The compiler requires every field of every type. */
const FIELDS: { [Name in keyof Described]: Keys<Described[Name]> } = {
  rows,
  check,
  refinement,
  exported: { type: true, ok: true, text: true },
  saved_run: { ...rows, data: true },
  saved_check: { ...check, data: true },
  saved_refinement: { ...refinement, data: true },
  detail: {
    reason: true,
    traceback: true,
    stop_reason: true,
    suggestions: true,
    landmarks: true,
    confidence: true,
    spread: true,
    elapsed: true,
    span: true,
    optimizer: true,
    notice: true,
    elsewhere: true,
    extends: true,
    adds: true,
    budget: true,
    blocked: true,
  },
  landmarks: { falls_at: true, minimum: true, explodes_at: true },
  optimizer: { name: true, arguments: true, momentum: true },
  check_detail: {
    lrs: true,
    final_losses: true,
    stop_reasons: true,
    traceback: true,
    notice: true,
  },
  refinement_detail: {
    sweep: true,
    sweep_steps: true,
    trials: true,
    best: true,
    reason: true,
    confidence: true,
    untrained: true,
    held_out: true,
    planned_steps: true,
    kept_bytes: true,
    kept_in: true,
    traceback: true,
    notice: true,
  },
  trial: { lr: true, dropped: true, held_out: true, stop_reason: true },
  legend: { active: true, runs: true, parallel: true },
  hello: { type: true },
  resync: { type: true, run: true, from: true, of: true },
  command: { type: true, name: true },
  run: { type: true, action: true, run: true, label: true },
  pick: { type: true, lr: true },
  export: { type: true, name: true },
};

function bytes(hex: string): DataView {
  return new DataView(Uint8Array.from(Buffer.from(hex, "hex")).buffer);
}

function hex(data: SavedRun["data"]): string {
  const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString("hex");
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("kernel and page", () => {
  it("use the same names", () => {
    expect([...RUN_STATES].sort()).toEqual(wire.names.states.sort());
    expect([...COMMANDS].sort()).toEqual(wire.names.commands.sort());
    expect([...RUN_ACTIONS].sort()).toEqual(wire.names.run_actions.sort());
  });
  it("know the same messages and values", () => {
    expect(Object.keys(FIELDS).sort()).toEqual(Object.keys(wire.fields).sort());
  });
  it.each(Object.entries(FIELDS))("know the same fields of %s", (name, fields) => {
    expect(Object.keys(fields).sort()).toEqual([...(wire.fields[name] ?? [])].sort());
  });
  it("know the same traits", () => {
    const traits: Keys<Traits> = {
      lr: true,
      lr_range: true,
      smoothing: true,
      y_max: true,
      log_y: true,
      state: true,
      step: true,
      steps: true,
      suggestion: true,
      error: true,
      variable: true,
      figure: true,
      _range: true,
      _detail: true,
      _legend: true,
      _runs: true,
      _hidden: true,
      _check: true,
      _refinement: true,
      _picked: true,
    };
    expect(Object.keys(traits).sort()).toEqual([...wire.traits].sort());
  });
  it("both set the same traits", () => {
    expect(Object.keys(open().session.traits).sort()).toEqual([...wire.set_by_page].sort());
  });
});

/** The rows of a table from an offset on, as pairs. */
function held(table: { lr: Float64Array; loss: Float64Array } | null, offset = 0): number[][] {
  const pairs = [...(table?.lr ?? [])].map((lr, i) => [lr, table!.loss[i]!]);
  return pairs.slice(offset);
}

function expected({ rows }: Table, offset = 0): number[][] {
  return rows.slice(offset).map(([lr, loss]) => [lr, Number(loss)]);
}

/** What holds the rows of messages of this type; null for those of a sweep. */
function trialsIn(session: Session, type: string): Session["check"] | Session["refinement"] | null {
  return type === "check" ? session.check : type === "refinement" ? session.refinement : null;
}

describe("the page takes", () => {
  it.each(wire.from_kernel.map((c) => [c.name, c] as const))("%s", (_, c) => {
    const { content, buffers } = c;
    const { model, session } = open({ lr: 0.5, state: "running" });
    model.emit("msg:custom", content, buffers.map(bytes));
    const trials = trialsIn(session, content.type);
    const run = [session.runs.active, ...session.runs.list].find((r) => r.number === content.run);
    const table = trials ? trials.store.current : session.store.runs.get(content.run);
    const taken = trials ?? run;
    const shown = taken?.status ?? content;
    const { state, step, steps, elapsed, error, suggestion } = content;
    expect(shown).toMatchObject({ state, step, steps, elapsed, error, suggestion });
    const sent = buffers.length > 0;
    expect(held(table!, content.offset)).toEqual(sent ? expected(c, content.offset) : []);
    expect(table!.starts).toEqual(expect.arrayContaining(content.starts ?? []));
    if (content.detail) expect(taken?.detail).toEqual(content.detail);
    expect(session.modelId).toBe(content.model_id ?? null);
    const moved = "lr" in content ? content.lr : null;
    expect(session.lr).toBe(moved ?? 0.5);
  });
  it.each(wire.exported.map((message) => [message.text, message] as const))("%s", (text, c) => {
    const { model, session } = open({ lr: 0.5 });
    session.export("best_lr");
    model.emit("msg:custom", c, []);
    expect([session.view.note, session.connection.requests.pending]).toEqual([
      { ok: c.ok, text },
      null,
    ]);
  });
  it.each(wire.saved.map((c) => [c.name, c] as const))("%s from the saved state", (_, c) => {
    const value = { ...c.value, data: bytes(c.value.data) };
    const { session } = open(
      c.kind === "rows"
        ? { _runs: [value as SavedRun], ...traitsOf(value as SavedRun) }
        : { [`_${c.kind}`]: value },
    );
    const { store } = trialsIn(session, c.kind) ?? session;
    expect(held(store.current)).toEqual(expected(c));
    const { _check, _refinement, _runs } = session.saved();
    const saved = { check: _check!, refinement: _refinement!, rows: _runs![0]! }[c.kind];
    expect({ ...saved, data: hex(saved.data) }).toEqual(c.value);
  });
});

/** The traits that correspond to the saved state of a run. */
function traitsOf({ state, step, steps, error, suggestion, detail }: SavedRun): Partial<Traits> {
  return { state, step, steps, error, suggestion, _detail: detail } as Partial<Traits>;
}

describe("the page sends", () => {
  it("the messages of the vectors, and no others", () => {
    const sent: unknown[] = [];
    const say = (act: (opened: ReturnType<typeof open>) => void, traits?: Partial<Traits>) => {
      const opened = open(traits);
      const hello = opened.model.sent.splice(0);
      act(opened);
      sent.push(...(sent.length ? [] : hello), ...opened.model.sent);
    };
    const gap = (type: "rows" | "check" | "refinement", offset: number) => {
      return ({ model }: { model: FakeModel }): void => {
        model.rows({ state: "running", step: offset }, [3, 2, 1]);
        const more = { type, detail: { lrs: [], final_losses: [], stop_reasons: [] } };
        model.rows({ ...more, offset, state: "running", step: offset + 1 } as never, [1]);
      };
    };
    const named = (act: (opened: ReturnType<typeof open>) => void) => {
      say(act, { _legend: { active: 1, runs: [[2, "narrow", 0]], parallel: false } });
    };
    say(gap("rows", 5));
    say(gap("check", 2));
    say(gap("refinement", 2));
    for (const name of COMMANDS)
      say(({ session }) => {
        session.command(name);
      });
    named(({ session }) => {
      session.activate(session.runs.list[0]!);
    });
    named(({ session }) => {
      session.requestRunAction("rename", session.runs.list[0]!, "wide");
    });
    named(({ session }) => {
      session.requestRunAction("remove", session.runs.list[0]!);
    });
    say(
      ({ session }) => {
        session.pick(1e-3);
      },
      { lr: 1e-3 },
    );
    say(({ session }) => {
      session.export("best_lr");
    });
    expect(sent).toEqual(wire.from_page.map(({ content }) => content));
  });
});
