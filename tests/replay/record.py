"""Records the histories that ``test_replay`` replays: ``uv run python tests/replay/record.py [DAG_ID...]``.

Needed when the engine's epoch is raised: older histories then belong to older releases. Within an epoch only what is
new is recorded: name the DAGs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from temporal_airflow import identifiers
from temporal_airflow.engine.airflow_library import use_as_library

TESTS = Path(__file__).parent.parent
HISTORIES = Path(__file__).parent / "histories"
EXAMPLES = TESTS.parent / "examples"
FUNDAMENTALS = {
    "flow.py": (
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
    ),
    "asks.py": ("asks", "asks_in_triggers", "asks_in_vain", "asks_many"),
    "deadlines.py": ("is_late",),
    "in_series.py": ("maps_in_series", "maps_in_batches"),
    "leaves.py": ("leaves",),
    "assets.py": ("emits", "keeps_asset_state"),
    "operated.py": ("holds", "tears_down"),
    "outlasting.py": ("outlasts",),
    "past.py": ("changes",),
    "pools.py": ("in_a_pool",),
    "state_store.py": ("keeps_state",),
    "triggering.py": ("triggers_in_every_way", "triggers_many"),
    "waits.py": ("starts_waiting",),
}
ANSWERS: dict[str, dict[str, dict[str, Any]]] = {
    "asks": {
        "enters": {"params_input": {"number": 3, "note": ""}},
        "branches": {"chosen_options": ["hold"], "user": "ann"},
    },
    "outlasts": {"asks": {"chosen_options": ["yes"]}},
    "asks_many": {"chooses": {"chosen_options": ["c", "a"]}},
    "asks_in_triggers": {"answered": {"chosen_options": ["yes"]}},
}
"""What people answer in the DAGs of ``asks.py``."""

POOL = "narrow"
BUSY_POOL = "busy"
MESSAGES = 100
STARTED = {"triggers_many": ("one_at_a_time", "b")}
"""A run that a task of the recorded one has started, recorded too."""

LIMITS = {"outlasts": {"continue_from_events": 25}, "in_a_pool": {"continue_from_events": 15}}
"""Limits of runs that go on in another execution, whose first two executions and first batch are recorded."""

SHORT_SERIES = {"series_size": 5, "series_share": 1}
IN_SERIES = {"maps_in_series": SHORT_SERIES, "maps_in_batches": {**SHORT_SERIES, "batches_from": 1, "batch_size": 12}}
CONF = {dag_id: {"width": 12, "waits": [3]} for dag_id in IN_SERIES}
SECOND_BATCH = {"maps_in_batches"}
"""Runs whose second batch is recorded, too: that of the mapped task."""

GO_AFTER = 3.0
"""Seconds that a task of a series takes, so that it gives back those behind it."""

LISTENED_STATES = {"leaves": ("running", "success", "failed")}
"""States that listeners of DAG runs are told of, if there were any."""


async def record(wanted: Collection[str] = ()) -> None:
    """Run every DAG once, or only those named, and keep its history."""
    from temporal_airflow.in_place import open_in_place, task_processes
    from temporal_airflow.settings import load_settings

    targets = [(EXAMPLES, path.name, path.stem) for path in sorted(EXAMPLES.glob("*.py"))]
    targets += [(TESTS / "dags", file, dag_id) for file, dag_ids in FUNDAMENTALS.items() for dag_id in dag_ids]
    targets = [target for target in targets if not wanted or target[2] in wanted]
    for folder in dict.fromkeys(folder for folder, _, _ in targets):
        async with (
            task_processes(folder) as template,
            open_in_place(template, folder, load_settings(), ephemeral=True, report=lambda _: None) as place,
            place.worker(),
        ):
            if (folder, "pools.py", "in_a_pool") in targets:
                await _start_pool(place)
            for _, file, dag_id in (target for target in targets if target[0] == folder):
                await _record_run(place, folder / file, dag_id)
            if (folder, "assets.py", "emits") in targets:
                await _record_states(place)
            if (folder, "pools.py", "in_a_pool") in targets:
                await _record_pool(place)
                await _record_busy_pool(place)


async def _record_run(place: Any, path: Path, dag_id: str) -> None:
    from temporal_airflow.client import now
    from temporal_airflow.dag_loader import load_dag
    from temporal_airflow.models import LoadDagInput

    conf: dict[str, Any] = (
        {} if path.is_relative_to(EXAMPLES) else {"scratch": tempfile.mkdtemp(), **CONF.get(dag_id, {})}
    )
    request = LoadDagInput(path=str(path), dag_id=dag_id, run_id="recorded", conf=conf, now=now())
    loaded = await load_dag(place.template, request)
    limits = loaded.limits.model_copy(update=LIMITS.get(dag_id, IN_SERIES.get(dag_id, {})))
    loaded = loaded.model_copy(update={"listened_states": LISTENED_STATES.get(dag_id, ()), "limits": limits})
    if dag_id in LIMITS:
        Path(conf["scratch"], "go").touch()
    workflow_id = await place.start(loaded)
    if dag_id in IN_SERIES:
        asyncio.get_running_loop().call_later(GO_AFTER, Path(conf["scratch"], "go").touch)
    answering = asyncio.create_task(_answer(place.client, workflow_id, ANSWERS.get(dag_id, {})))
    if operate := OPERATED.get(dag_id):
        await operate(place, workflow_id, conf["scratch"])
    await _keep(place, workflow_id, dag_id)
    answering.cancel()
    if started := STARTED.get(dag_id):
        await _keep(place, identifiers.workflow_id(*started), started[0])


async def _keep(place: Any, workflow_id: str, name: str) -> None:
    await place.client.result(workflow_id)
    client = place.connection.client
    if name in SECOND_BATCH:
        await _keep_history(client.get_workflow_handle(identifiers.batch_workflow_id(workflow_id, 2)), f"{name}_batch")
    if name not in LIMITS:
        await _keep_history(client.get_workflow_handle(workflow_id), name)
        return
    first = (await client.get_workflow_handle(workflow_id).fetch_history()).events[0]
    run_id = first.workflow_execution_started_event_attributes.first_execution_run_id
    await _keep_history(client.get_workflow_handle(workflow_id, run_id=run_id), name)
    last = (await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()).events[-1]
    run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    await _keep_history(client.get_workflow_handle(workflow_id, run_id=run_id), f"{name}_goes_on")
    batch = identifiers.batch_workflow_id(workflow_id, 1)
    await _keep_history(client.get_workflow_handle(batch), f"{name}_batch")


async def _record_states(place: Any) -> None:
    """Keep the histories of workflows that never end: the catalogue of assets, and one that continues as new."""
    from temporal_airflow.asset_client import asset_place
    from temporal_airflow.models import AssetKey, KeptState, StateChange
    from temporal_airflow.state_client import Place, StateClient

    client, states = place.connection.client, StateClient(place.connection.client)
    catalogue = identifiers.state_workflow_id(place.task_queue, "assets")
    await _keep_history(client.get_workflow_handle(catalogue), "keeps_assets")
    orders = asset_place(place.task_queue, AssetKey(name="orders", uri="s3://warehouse/orders"))
    await _keep_history(client.get_workflow_handle(orders.workflow_id), "keeps_events")
    short = Place(place.task_queue, "recorded", empty=KeptState(changes_per_run=2))
    await states.change(short, StateChange(values={"a": "1"}))
    first_run = (await client.get_workflow_handle(short.workflow_id).describe()).run_id
    for value in ("2", None):
        await states.change(short, StateChange(values={"a": value}))
    await _keep_history(client.get_workflow_handle(short.workflow_id, run_id=first_run), "keeps_state_as_new")


async def _start_pool(place: Any) -> None:
    """A pool that soon continues as new."""
    from temporal_airflow.capacity.pool_memo import memo_of
    from temporal_airflow.models import PoolDefinition, PoolState

    await place.connection.client.start_workflow(
        identifiers.POOL_WORKFLOW_TYPE,
        PoolState(definition=PoolDefinition(name=POOL, slots=1), messages_per_run=3),
        id=identifiers.pool_workflow_id(POOL),
        task_queue=identifiers.POOLS_TASK_QUEUE,
        memo=memo_of(PoolDefinition(name=POOL, slots=1)),
    )


async def _record_pool(place: Any) -> None:
    """Keep the histories of a pool: of its first execution, and of its last one, which ends deleted."""
    from temporal_airflow.capacity.pool_client import PoolClient
    from temporal_airflow.models import PoolDefinition

    pools, client = PoolClient(place.connection.client), place.connection.client
    await pools.set(PoolDefinition(name=POOL, slots=2, include_deferred=True))
    handle = client.get_workflow_handle(identifiers.pool_workflow_id(POOL))
    await pools.delete(POOL)
    await handle.result()
    last = await handle.fetch_history()
    run_id = last.events[0].workflow_execution_started_event_attributes.first_execution_run_id
    await _keep_history(client.get_workflow_handle(handle.id, run_id=run_id), "keeps_a_pool")
    await _keep_history(handle, "keeps_a_pool_to_its_end")


async def _record_busy_pool(place: Any) -> None:
    """Keep the history of a pool that so many messages come to that it lets them gather."""
    from temporal_airflow.capacity.pool_client import PoolClient
    from temporal_airflow.models import HeldSlots, PoolDefinition, SlotHolder, SlotMessage

    client = place.connection.client
    await PoolClient(client).set(PoolDefinition(name=BUSY_POOL, slots=MESSAGES))
    pool = client.get_workflow_handle(identifiers.pool_workflow_id(BUSY_POOL))
    for number in range(MESSAGES):
        holder = SlotHolder(workflow_id=f"run-{number}", first_run_id="1")
        await pool.signal(identifiers.SLOTS_SIGNAL, [SlotMessage(holder=holder, holds=(HeldSlots(ticket=1),))])
    await pool.query("stats")
    await _keep_history(pool, "keeps_a_busy_pool")


async def _keep_history(handle: Any, name: str) -> None:
    events = _anonymous((await handle.fetch_history()).to_json_dict())
    (HISTORIES / f"{name}.json").write_text(json.dumps(events, separators=(",", ":")) + "\n")
    sys.stdout.write(f"{name}: {len(events['events'])} events\n")


async def _answer(client: Any, workflow_id: str, answers: dict[str, dict[str, Any]]) -> None:
    async for run in client.watch(workflow_id):
        for ti in run.task_instances:
            if ti.input_request and ti.task_id in answers:
                answer = {"user": "ann", "map_index": ti.map_index, **answers[ti.task_id]}
                await client.respond(workflow_id, ti.task_id, **answer)


async def _clear_and_mark(place: Any, workflow_id: str, _: str) -> None:
    """Clear a task that runs, then mark it."""
    from temporal_airflow.models import ClearTasks, MarkTask

    await _until(place.client, workflow_id, "holds", "running")
    await place.client.act(workflow_id, ClearTasks(kind="clear", task_ids=("holds",)))
    await _until(place.client, workflow_id, "holds", "running", try_number=2)
    await place.client.act(workflow_id, MarkTask(kind="mark_task", task_id="holds", state="success"))


async def _pause_and_unpause(place: Any, workflow_id: str, scratch: str) -> None:
    """Pause a DAG until a task of its run has ended."""
    await _until(place.client, workflow_id, "holds", "running")
    await place.client.pause("tears_down", task_queue=place.task_queue)
    Path(scratch, "go").touch()
    await _until(place.client, workflow_id, "holds", "success")
    await place.client.unpause("tears_down", task_queue=place.task_queue)


OPERATED = {"holds": _clear_and_mark, "tears_down": _pause_and_unpause}
"""What people do to a run while it goes on."""


async def _until(client: Any, workflow_id: str, task_id: str, state: str, try_number: int = 1) -> None:
    async for run in client.watch(workflow_id):
        if (task_id, state, try_number) in {(ti.task_id, ti.state, ti.try_number) for ti in run.task_instances}:
            return


def _anonymous(value: Any) -> Any:
    """The same history without the names of the machine it ran on."""
    if isinstance(value, dict):
        return {name: "recorded" if name == "identity" else _anonymous(item) for name, item in value.items()}
    return [_anonymous(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    use_as_library()
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW_CONN_VAULT"] = "generic://user:s3cr3t-passw0rd@host/"
    HISTORIES.mkdir(exist_ok=True)
    asyncio.run(record(sys.argv[1:]))
