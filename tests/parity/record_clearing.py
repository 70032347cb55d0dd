"""Records what stock Airflow makes of each situation: ``uv run python -m tests.parity.record_clearing [NAME...]``.

Runs are cleared through Airflow's own API. It must not know how we clear a run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .oracle import LOOK_INTERVAL, Oracle, OracleError, await_parsed, open_oracle
from .outcome import label
from .situations import ENVIRONMENT, RECORDS, SITUATIONS, WAITING_AT_ONCE, Clearing, Seen, Situation, Stands

PATIENCE = 300.0
"""Seconds for a run to get where a situation wants it."""

AT_ONCE = 4


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="record", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every situation")
    names = parser.parse_args(arguments).names
    wanted = [each for each in SITUATIONS if each.name in names or not names]
    RECORDS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="parity-airflow-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        with open_oracle(Path(folder), scratch, ENVIRONMENT) as airflow:
            await_parsed(airflow)
            _record_all(airflow, wanted)


def _record_all(airflow: Oracle, wanted: Sequence[Situation]) -> None:
    """Record situations, a few side by side."""
    waiting, open_ = list(reversed(wanted)), list[Recording]()
    while waiting or open_:
        while waiting and len(open_) < AT_ONCE and _has_slot(waiting[-1], open_):
            open_.append(Recording(airflow, waiting.pop()))
        for recording in list(open_):
            if recording.advance():
                open_.remove(recording)
                print(recording.situation.name, flush=True)
        time.sleep(LOOK_INTERVAL)


def _has_slot(situation: Situation, open_: Sequence[Recording]) -> bool:
    return not situation.until or sum(bool(each.situation.until) for each in open_) < WAITING_AT_ONCE


class Recording:
    """One situation under Airflow, from the start of its run to its record."""

    def __init__(self, airflow: Oracle, situation: Situation) -> None:
        self.situation = situation
        self._airflow = airflow
        self._scratch = airflow.scratch / situation.name
        self._scratch.mkdir()
        self._before: dict[str, Stands] = {}
        self._cleared: tuple[str, ...] = ()
        self._steps: list[tuple[Callable[[], bool], Callable[[], None]]] = [
            (self._is_ready, self._clear),
            (self._is_ready_again, (self._scratch / "go").touch),
            (self._has_ended, self._write),
        ]
        self._deadline = time.monotonic() + PATIENCE
        self._trigger()

    def advance(self) -> bool:
        """Do what is due.

        Returns:
            Whether that was all.
        """
        is_due, act = self._steps[0]
        if is_due():
            self._steps.pop(0)
            act()
            self._deadline = time.monotonic() + PATIENCE
        elif time.monotonic() > self._deadline:
            raise OracleError(f"{self.situation.name}: stuck at {self._tasks()}")
        return not self._steps

    def _trigger(self) -> None:
        self._post(
            f"dags/{self.situation.dag_id}/dagRuns",
            dag_run_id=self.situation.name,
            logical_date=None,
            conf={"scratch": str(self._scratch)},
        )

    def _is_ready(self) -> bool:
        return _stand(self._tasks(), self.situation.until) if self.situation.until else self._has_ended()

    def _is_ready_again(self) -> bool:
        return _stand(self._tasks(), self.situation.again)

    def _has_ended(self) -> bool:
        return self._state() in {"success", "failed"}

    def _clear(self) -> None:
        self._before = self._tasks()
        answer = self._post(
            f"dags/{self.situation.dag_id}/clearTaskInstances",
            dry_run=False,
            dag_run_id=self.situation.name,
            **_body(self.situation.clearing),
        )
        self._cleared = tuple(label(ti["task_id"], ti["map_index"]) for ti in answer["task_instances"])
        (self._scratch / "mended").touch()

    def _write(self) -> None:
        seen = Seen(self._state(), self._before, self._cleared, self._tasks())
        write(self.situation, {"airflow": version("apache-airflow-core"), **seen.to_json()})

    def _state(self) -> str:
        [run] = self._query("select state from dag_run")
        return str(run["state"])

    def _tasks(self) -> dict[str, Stands]:
        rows = self._query("select task_id, map_index, state, try_number from task_instance")
        return {label(row["task_id"], row["map_index"]): Stands(row["state"], row["try_number"]) for row in rows}

    def _query(self, sql: str) -> list[dict[str, Any]]:
        return self._airflow.database.query(f"{sql} where run_id = :'run_id'", run_id=self.situation.name)

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._airflow.http.post(f"{self._airflow.url}/api/v2/{path}", json=body)
        if not answer.is_success:
            raise OracleError(f"{self.situation.name}: {path} failed: {answer.status_code} {answer.text}")
        return answer.json()  # type: ignore[no-any-return]


def write(situation: Situation, record: Mapping[str, Any]) -> None:
    situation.record_path.write_text(dumped(record))


def dumped(record: Mapping[str, Any]) -> str:
    """JSON with a line for each task instance."""
    lines = [f' "{key}": {_indented(value)}' for key, value in record.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _indented(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(each)}" for key, each in value.items()) + "\n }"


def _body(clearing: Clearing) -> dict[str, Any]:
    """As Airflow's API takes it."""
    markers = [[task_id, index] for task_id in clearing.task_ids for index in clearing.map_indexes]
    return {
        "task_ids": markers or list(clearing.task_ids) or None,
        "include_upstream": clearing.upstream,
        "include_downstream": clearing.downstream,
        "only_failed": clearing.only_failed,
    }


def _stand(tasks: Mapping[str, Stands], wanted: Mapping[str, Stands]) -> bool:
    return all(tasks.get(name) == stands for name, stands in wanted.items())


if __name__ == "__main__":
    main()
