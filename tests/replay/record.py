"""Records the histories that ``test_replay`` replays: ``uv run python tests/replay/record.py``.

Needed when the engine's epoch is raised: older histories then belong to older releases.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from temporal_airflow.engine.airflow_library import use_as_library

TESTS = Path(__file__).parent.parent
HISTORIES = Path(__file__).parent / "histories"
EXAMPLES = TESTS.parent / "examples"
FUNDAMENTALS = (
    "always_fails",
    "branches",
    "calls_back",
    "fails_fast",
    "fails_twice",
    "is_limited",
    "maps",
    "pokes",
    "sets_up_and_tears_down",
    "short_circuits",
    "times_out",
)


async def record() -> None:
    """Run every DAG once and keep its history."""
    from temporal_airflow.in_place import open_in_place, task_processes
    from temporal_airflow.settings import load_settings

    targets = [(EXAMPLES, path.name, path.stem) for path in sorted(EXAMPLES.glob("*.py"))]
    targets += [(TESTS / "dags", "flow.py", dag_id) for dag_id in FUNDAMENTALS]
    for folder in dict.fromkeys(folder for folder, _, _ in targets):
        async with (
            task_processes(folder) as template,
            open_in_place(template, folder, load_settings(), ephemeral=True, report=lambda _: None) as place,
            place.worker(),
        ):
            for _, file, dag_id in (target for target in targets if target[0] == folder):
                await _record_run(place, folder / file, dag_id)


async def _record_run(place: Any, path: Path, dag_id: str) -> None:
    from temporal_airflow.client import now
    from temporal_airflow.dag_loader import load_dag
    from temporal_airflow.models import LoadDagInput

    conf = {"scratch": tempfile.mkdtemp()} if path.name == "flow.py" else {}
    request = LoadDagInput(path=str(path), dag_id=dag_id, run_id="recorded", conf=conf, now=now())
    workflow_id = await place.start(await load_dag(place.template, request))
    await place.client.result(workflow_id)
    history = await place.connection.client.get_workflow_handle(workflow_id).fetch_history()
    events = _anonymous(history.to_json_dict())
    (HISTORIES / f"{dag_id}.json").write_text(json.dumps(events, separators=(",", ":")) + "\n")
    sys.stdout.write(f"{dag_id}: {len(events['events'])} events\n")


def _anonymous(value: Any) -> Any:
    """The same history without the names of the machine it ran on."""
    if isinstance(value, dict):
        return {name: "recorded" if name == "identity" else _anonymous(item) for name, item in value.items()}
    return [_anonymous(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    use_as_library()
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    HISTORIES.mkdir(exist_ok=True)
    asyncio.run(record())
