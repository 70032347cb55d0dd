"""What is compared of a run, and nothing else: the wire format of the records.

Only what no two runs can share is made the same on both sides: times of the run itself, hosts, process ids, object
addresses, random UUIDs, and the folders a side works in. It must not know where an outcome came from.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

YEAR_OF_NOW = 2025
"""Times from here on are those of the run; logical dates and other fixed times are earlier and are compared."""

EAGER_RULES = {"one_success", "one_failed", "one_done", "always"}
"""Trigger rules that don't wait for all upstream tasks: what was still running then is chance."""


@dataclass(frozen=True)
class TaskOutcome:
    """A task instance at the end of its run.

    Attributes:
        reschedules: how often it went to ``up_for_reschedule``, over all tries.
        deferrals: how often it went to ``deferred``, over all tries.
        started_before: direct upstream tasks that had not ended when it started, though its trigger rule waits for all.
    """

    state: str | None
    try_number: int
    map_index: int
    rendered_map_index: str | None = None
    reschedules: int = 0
    deferrals: int = 0
    started_before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A run at its end.

    Attributes:
        tasks: by task id, ``task_id[map_index]`` for mapped ones.
        xcoms: by task, then by key.
        notes: lines that callbacks and tasks left, by file; sorted, for tasks run side by side.
        asset_events: emitted, sorted.
    """

    dag_id: str
    state: str
    tasks: dict[str, TaskOutcome]
    xcoms: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    asset_events: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Span:
    """When a task instance started and ended, for the order of tasks."""

    task_id: str
    map_index: int
    start: datetime | None
    end: datetime | None
    executed: bool


def label(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


def upstream_of(serialized_dag: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Direct upstream tasks of each task that waits for all of them, from Airflow's serialized DAG."""
    upstream: dict[str, list[str]] = {}
    rules: dict[str, str] = {}
    for entry in serialized_dag["dag"]["tasks"]:
        task = entry["__var"]
        partial = task.get("partial_kwargs", {})
        rules[task["task_id"]] = task.get("trigger_rule") or partial.get("trigger_rule") or "all_success"
        for downstream in task.get("downstream_task_ids", []):
            upstream.setdefault(downstream, []).append(task["task_id"])
    return {task_id: tuple(sorted(ids)) for task_id, ids in upstream.items() if rules[task_id] not in EAGER_RULES}


def started_before(span: Span, spans: Collection[Span], upstream: Collection[str]) -> tuple[str, ...]:
    """Upstream tasks that a task instance did not wait for.

    Between mapped tasks only instances of the same map index count: in a mapped group each index goes its own way.
    """
    if not span.executed or span.start is None:
        return ()
    start = span.start
    early = {
        other.task_id
        for other in spans
        if other.task_id in upstream
        and (min(span.map_index, other.map_index) < 0 or span.map_index == other.map_index)
        and (other.end is None or other.end > start)
    }
    return tuple(sorted(early))


def read_notes(folder: Path) -> dict[str, list[str]]:
    """The lines that tasks and callbacks left in a scratch folder."""
    if not folder.exists():
        return {}
    return {path.name: sorted(path.read_text().splitlines()) for path in sorted(folder.iterdir())}


UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
PROCESS_ID = re.compile(r"\bPID: \d+")
LENGTH_OF_TIME = re.compile(r"\b\d+\.\d+ seconds")
MODULE_OF_FILE = re.compile(r"\bunusual_prefix_[0-9a-f]{40}_")
"""What Airflow puts before the name of a DAG file's module: a hash of the file's path."""

ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")
PARQUET = re.compile(r"\b50415231[0-9A-F]*50415231\b")
"""A pandas frame as Airflow pushes it: the file names the releases that wrote it. What a task pulls is compared."""

OWN_URL = re.compile(r"http://127\.0\.0\.1:\d+(?=/dags/)")
"""Where the API server of a recording is; links of ours have no server."""
TIME = re.compile(
    r"(?<![0-9A-Za-z])(?P<year>20\d\d)-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?"
)
DATE_COMMAND = re.compile(r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \w+ 20\d\d\b")
ANSWERED_BY = {"responded_by_user"}
WHO = "<user>"
EPOCH_SECONDS = (datetime(YEAR_OF_NOW, 1, 1).astimezone().timestamp(), 4e9)


@dataclass(frozen=True)
class Normaliser:
    """Makes the same what no two runs can share.

    Attributes:
        folders: where a side works, with the name it gets.
    """

    folders: Mapping[str, str]

    def __call__(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case float() if EPOCH_SECONDS[0] <= value <= EPOCH_SECONDS[1]:
                return "<time>"
            case Mapping():
                value = {key: WHO if key in ANSWERED_BY and each else each for key, each in value.items()}
                return {self._text(str(key)): self(each) for key, each in value.items()}
            case list() | tuple():
                return [self(each) for each in value]
            case _:
                return value

    def _text(self, text: str) -> str:
        for folder, name in sorted(self.folders.items(), key=lambda item: -len(item[0])):
            text = text.replace(folder, name)
        text = OWN_URL.sub("", text)
        text = PARQUET.sub("<parquet>", text)
        text = UUID.sub("<uuid>", text)
        text = MODULE_OF_FILE.sub("unusual_prefix_<hash>_", text)
        text = ADDRESS.sub("at <address>", text)
        text = PROCESS_ID.sub("PID: <pid>", text)
        text = DATE_COMMAND.sub("<time>", text)
        text = LENGTH_OF_TIME.sub("<time>", text)
        text = TIME.sub(lambda match: match[0] if int(match["year"]) < YEAR_OF_NOW else "<time>", text)
        return re.sub(rf"\b{re.escape(socket.gethostname())}\b", "<host>", text)


def normaliser(home: Path, scratch: Path) -> Normaliser:
    return Normaliser(
        {
            str(scratch): "<scratch>",
            str(home): "<home>",
            sys.prefix: "<prefix>",
            str(Path(__file__).parents[2]): "<repo>",
        }
    )


def normalised(outcome: Outcome, normalise: Normaliser) -> dict[str, Any]:
    """An outcome as it is recorded and compared."""
    values = outcome.to_json()
    values |= {name: normalise(values[name]) for name in ("xcoms", "notes", "asset_events")}
    for task in values["tasks"].values():
        task["rendered_map_index"] = normalise(task["rendered_map_index"])
    values["notes"] = {name: sorted(lines) for name, lines in values["notes"].items()}
    values["asset_events"].sort(key=lambda event: json.dumps(event, sort_keys=True))
    return values
