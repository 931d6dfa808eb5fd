"""Write wire.json: the messages between kernel and page, for Python and JavaScript.

    python tests/vectors/make_wire.py

The script imports nothing of the package: the messages are written according to `docs/wire.md`,
independently of both implementations. The file has

- `names`: the names of states, commands and actions;
- `fields`: the fields of each message and of each value inside one; `traits`: the traits that both
  sides know, and `set_by_page`: those that both sides set;
- `from_kernel`: messages with rows. From a `status` and a table (`rows`, `sweep_starts`), the rows
  from `offset` on and the `options` give the message's `content` and `buffers` (in hexadecimal);
- `exported`: the answers to "export";
- `saved`: elements of `_runs`, and values of `_check` and `_refinement`, with their `data` in
  hexadecimal;
- `from_page`: messages that the page sends, each with the `type` and the `fields` that the kernel
  reads in it; `accepted`: others that the kernel reads; `refused`: what it does not.

Losses that JSON has no number for are text, as in smoothing.json.
"""

import json
import struct
from pathlib import Path
from typing import Any

NAMES = {
    "states": ["idle", "running", "paused", "finished", "diverged", "stopped", "failed"],
    "commands": [
        *("start", "pause", "resume", "stop", "unblock", "reset", "apply", "check", "refine"),
        "extend",
    ],
    "run_actions": ["activate", "rename", "remove"],
}
STATUS = ["state", "step", "steps", "elapsed", "error", "suggestion"]
ROWS = ["type", "run", "offset", "starts", *STATUS, "lr", "detail", "model_id"]
CHECK = ["type", "run", "offset", "starts", *STATUS, "detail", "model_id"]
FIELDS = {
    "rows": ROWS,
    "check": CHECK,
    "refinement": ROWS,
    "exported": ["type", "ok", "text"],
    "saved_run": [*ROWS, "data"],
    "saved_check": [*CHECK, "data"],
    "saved_refinement": [*ROWS, "data"],
    "detail": [
        *("reason", "traceback", "stop_reason", "suggestions", "landmarks", "confidence"),
        *("spread", "elapsed", "span", "optimizer", "notice", "elsewhere", "extends", "adds"),
        *("budget", "blocked"),
    ],
    "landmarks": ["falls_at", "minimum", "explodes_at"],
    "optimizer": ["name", "arguments", "momentum"],
    "check_detail": ["lrs", "final_losses", "stop_reasons", "traceback", "notice"],
    "refinement_detail": [
        *("sweep", "sweep_steps", "trials", "best", "reason", "confidence", "untrained"),
        *("held_out", "planned_steps", "kept_bytes", "kept_in", "traceback", "notice"),
    ],
    "trial": ["lr", "dropped", "held_out", "stop_reason"],
    "legend": ["active", "runs", "parallel"],
    "hello": ["type"],
    "resync": ["type", "run", "from", "of"],
    "command": ["type", "name"],
    "run": ["type", "action", "run", "label"],
    "pick": ["type", "lr"],
    "export": ["type", "name"],
}
SET_BY_PAGE = ["lr", "lr_range", "smoothing", "y_max", "log_y", "variable", "_hidden"]
TRAITS = [
    *SET_BY_PAGE,
    *("state", "step", "steps", "suggestion", "error", "figure"),
    *("_range", "_detail", "_legend", "_runs", "_check", "_refinement", "_picked"),
]

DETAIL = {
    "reason": "the loss falls fastest here",
    "traceback": None,
    "stop_reason": "finished",
    "suggestions": {"auto": 0.01, "minimum/10": 0.02, "steepest": None, "valley": 0.03},
    "landmarks": {"falls_at": 1e-4, "minimum": 0.2, "explodes_at": None},
    "confidence": "high",
    "spread": 0.25,
    "elapsed": 1.5,
    "span": [1e-6, 1.0],
    "optimizer": {
        "name": "torch.optim.Adam",
        "arguments": "weight_decay=0.01",
        "momentum": "betas",
    },
    "notice": "",
    "elsewhere": "",
    "extends": True,
    "adds": 40,
    "budget": 1500,
    "blocked": False,
}
FAILED = DETAIL | {
    "reason": "",
    "traceback": "Traceback (most recent call last): …",
    "stop_reason": "failed",
    "suggestions": {},
    "landmarks": {},
    "confidence": None,
    "spread": None,
    "optimizer": None,
    "notice": "that run is gone",
    "elsewhere": "this follows a file",
    "extends": False,
    "adds": 0,
    "budget": 0,
    "blocked": True,
}
CHECK_DETAIL = {
    "lrs": [0.01, 0.03],
    "final_losses": [1.5, None],
    "stop_reasons": ["finished", None],
    "traceback": None,
    "notice": "",
}
REFINEMENT_DETAIL = {
    "sweep": 1,
    "sweep_steps": 100,
    "trials": [
        {"lr": 1e-6, "dropped": 1, "held_out": [[1, 2.25]], "stop_reason": "finished"},
        {"lr": 1e-3, "dropped": 0, "held_out": [], "stop_reason": None},
    ],
    "best": 1e-6,
    "reason": "",
    "confidence": None,
    "untrained": 2.5,
    "held_out": "51 of 256 samples, chosen at random",
    "planned_steps": 2000,
    "kept_bytes": 4096,
    "kept_in": "device",
    "traceback": None,
    "notice": "",
}
TABLE: list[list[float | str]] = [
    [1e-6, 2.5],
    [1e-3, "NaN"],
    [1.0, "Infinity"],
    [1e-6, -0.1],
    [1e-3, 1.7976931348623157e308],
]
ONE = TABLE[:1]


def packed(rows: list[list[float | str]]) -> str:
    return b"".join(struct.pack("<2d", *map(float, row)) for row in rows).hex()


def status(state: str, step: int, **more: Any) -> dict[str, Any]:
    plain = {"run": 1, "steps": 10, "elapsed": 1.5, "error": None, "suggestion": None}
    said = plain | {"state": state, "step": step, "detail": DETAIL} | more
    if "elapsed" in said["detail"] and state not in ("finished", "diverged", "stopped", "failed"):
        said["detail"] = said["detail"] | {"elapsed": 0.0}
    return said


def case(
    name: str,
    said: dict[str, Any],
    rows: list[list[float | str]],
    sweep_starts: list[int],
    offset: int | None,
    *,
    starts: list[int],
    sent_step: int | None = None,
    sent_elapsed: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return a case; `starts`, `sent_step` and `sent_elapsed` are the values in the message."""
    kind = options.get("kind", "rows")
    step = said["step"] if sent_step is None else sent_step
    elapsed = said["elapsed"] if sent_elapsed is None else sent_elapsed
    content = {
        "type": kind,
        "run": said["run"],
        "offset": said["step"] if offset is None else offset,
        "starts": starts,
        "state": said["state"],
        "step": step,
        "steps": said["steps"],
        "elapsed": elapsed,
        "error": said["error"],
        "suggestion": said["suggestion"],
    }
    if options.get("detail"):
        content["detail"] = said["detail"]
    content |= {key: options[key] for key in ("lr", "model_id") if key in options}
    sent = [] if offset is None else rows[offset:]
    return {
        "name": name,
        "status": said,
        "rows": rows,
        "sweep_starts": sweep_starts,
        "offset": offset,
        "options": options,
        "content": content,
        "buffers": [packed(sent)] if sent else [],
    }


def from_kernel() -> list[dict[str, Any]]:
    check = {"run": 1, "steps": 6, "detail": CHECK_DETAIL}
    refinement = {"run": 1, "steps": 1500, "detail": REFINEMENT_DETAIL}
    done = status("finished", 5, suggestion=0.01)
    return [
        case("before the start", status("idle", 0, elapsed=0.0), [], [0], 0, starts=[0]),
        case("first row", status("running", 1), ONE, [0], 0, starts=[0], detail=True),
        case("news of a new state", status("paused", 3), TABLE, [0, 3], 3,
             starts=[3], sent_step=5, detail=True, model_id="abc"),
        case("the state alone", status("paused", 5), TABLE, [0, 3], None, starts=[], detail=True),
        case("a long time", status("running", 5, elapsed=123.456789), TABLE, [0, 3], 4,
             starts=[], sent_elapsed=123.457),
        case("the end", done, TABLE, [0, 3], 5, starts=[], detail=True, lr=0.01),
        case("the end without a rate", status("stopped", 5), TABLE, [0, 3], 5,
             starts=[], detail=True, lr=None),
        case("a failure", status("failed", 5, error="ValueError: no", detail=FAILED), TABLE, [0, 3],
             4, starts=[], detail=True),
        case("the answer to hello", done, TABLE, [0, 3], 0, starts=[0, 3],
             kind="sync", detail=True, model_id="abc"),
        case("another run", status("running", 2, run=2), TABLE[:2], [0], 1, starts=[]),
        case("a check", status("running", 2, **check), TABLE[:2], [0], 0,
             starts=[0], kind="check", detail=True, model_id="abc"),
        case("more of a check", status("running", 5, **check), TABLE, [0, 3], 2,
             starts=[3], kind="check"),
        case("a refinement", status("paused", 2, **refinement), TABLE[:2], [0], 0,
             starts=[0], kind="refinement", detail=True, model_id="abc"),
        case("the end of a refinement", status("stopped", 5, suggestion=0.01, **refinement), TABLE,
             [0], 2, starts=[], kind="refinement", lr=0.01),
    ]  # fmt: skip


def saved() -> list[dict[str, Any]]:
    def of(kind: str, name: str, *args: Any, **more: Any) -> dict[str, Any]:
        made = case(name, *args, 0, kind=kind, detail=True, **more)
        value = made["content"] | {"data": "".join(made["buffers"])}
        return {key: made[key] for key in ("name", "status", "rows", "sweep_starts")} | {
            "kind": kind,
            "value": value,
        }

    check = status("finished", 5, steps=6, suggestion=0.01, detail=CHECK_DETAIL)
    refinement = status("finished", 5, steps=1500, suggestion=0.01, detail=REFINEMENT_DETAIL)
    done = status("finished", 5, suggestion=0.01)
    return [
        of(
            "rows", "a run that is not started", status("idle", 0, elapsed=0.0), [], [0], starts=[0]
        ),
        of("rows", "a run", done, TABLE, [0, 3], starts=[0, 3]),
        of("check", "a check", check, TABLE, [0, 3], starts=[0, 3]),
        of("refinement", "a refinement", refinement, TABLE, [0], starts=[0]),
    ]


def from_page() -> list[dict[str, Any]]:
    def message(content: dict[str, Any], **read: Any) -> dict[str, Any]:
        return {"content": content, "fields": read}

    return [
        message({"type": "hello"}),
        message({"type": "resync", "run": 1, "from": 3}, run=1, start=3, kind="rows"),
        message(
            {"type": "resync", "of": "check", "run": 1, "from": 0}, run=1, start=0, kind="check"
        ),
        message(
            {"type": "resync", "of": "refinement", "run": 1, "from": 0},
            run=1,
            start=0,
            kind="refinement",
        ),
        *(message({"type": "command", "name": name}, name=name) for name in NAMES["commands"]),
        message(
            {"type": "run", "action": "activate", "run": 2}, action="activate", run=2, label=""
        ),
        message(
            {"type": "run", "action": "rename", "run": 2, "label": "wide"},
            action="rename",
            run=2,
            label="wide",
        ),
        message({"type": "run", "action": "remove", "run": 2}, action="remove", run=2, label=""),
        message({"type": "pick", "lr": 0.001}, lr=0.001),
        message({"type": "export", "name": "best_lr"}, name="best_lr"),
    ]


ACCEPTED = [
    {
        "content": {"type": "resync", "of": "rows", "run": 0, "from": 0},
        "fields": {"run": 0, "start": 0, "kind": "rows"},
    },
    {"content": {"type": "pick", "lr": 1}, "fields": {"lr": 1}},
    {"content": {"type": "export", "name": "not checked;"}, "fields": {"name": "not checked;"}},
]
REFUSED: list[Any] = [
    *(None, 5, "hello", [], {}, {"type": None}, {"type": ["hello"]}, {"type": "eval", "code": "1"}),
    *({"type": name} for name in ("resync", "command", "run", "pick", "export")),
    *({"type": name} for name in ("rows", "sync", "check", "refinement", "exported")),
    *({"type": "resync", "run": 1, "from": value} for value in (-1, 0.5, "0", True, None)),
    *({"type": "resync", "run": value, "from": 0} for value in (-1, 1.5, "1", True, None)),
    *({"type": "resync", "of": value, "run": 1, "from": 0} for value in ("sync", None, ["check"])),
    *({"type": "command", "name": name} for name in ("close", "__init__", "START", ["start"])),
    *({"type": "run", "action": action, "run": 1} for action in ("start", "", None, ["remove"])),
    {"type": "run", "action": "remove"},
    {"type": "run", "action": "remove", "run": "1"},
    *({"type": "run", "action": "rename", "run": 1, "label": label} for label in (None, 3, ["a"])),
    *({"type": "pick", "lr": lr} for lr in (None, True, "0.1", [0.1])),
    *({"type": "export", "name": name} for name in (None, 3, ["lr"])),
]


def main() -> None:
    lists = {
        "from_kernel": from_kernel(),
        "exported": [
            {"type": "exported", "ok": True, "text": "best_lr = 0.01."},
            {"type": "exported", "ok": False, "text": "if is a keyword of Python"},
        ],
        "saved": saved(),
        "from_page": from_page(),
        "accepted": ACCEPTED,
        "refused": REFUSED,
    }
    plain = {"names": NAMES, "fields": FIELDS, "traits": TRAITS, "set_by_page": SET_BY_PAGE}
    parts = [f'"{key}":{compact(value)}' for key, value in plain.items()]
    for key, values in lists.items():
        parts.append(f'"{key}":[\n' + ",\n".join(map(compact, values)) + "\n]")
    path = Path(__file__).with_name("wire.json")
    path.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


if __name__ == "__main__":
    main()
