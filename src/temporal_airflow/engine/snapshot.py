"""Takes an open run apart into plain values, and puts it together again: everything that isn't rebuilt from its input.

Each part of a run knows what of it must be kept; here it is gathered. A test tells when a part has something new that
is neither kept nor rebuilt. It must not know why a run goes on elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from temporal_airflow.engine.attempts import InFlight, TaskHistory, key_of
from temporal_airflow.engine.database import RunDatabase
from temporal_airflow.engine.database_rows import read_rows, write_rows
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.frontier import Frontier
from temporal_airflow.engine.open_run import OpenRun
from temporal_airflow.engine.run_creation import load_dag_run
from temporal_airflow.models import DagExecutionInput, KeptDeferral, KeptFlight, KeptTask, RunSnapshot

SCHEMA_VERSION = 1


def take(run: OpenRun, frontier: Frontier, drawn_ids: int) -> RunSnapshot:
    """Everything there is to know of a run between two steps; what it waits for elsewhere is to be asked for again."""
    alarmed, candidates = frontier.kept()
    keys = [key_of(ti) for ti in run.instances]
    claims, tickets = run.claims.kept()
    waits = {key: out.deferral for key, out in run.in_flight.items() if out.deferral and not out.stopping}
    return RunSnapshot(
        schema_version=SCHEMA_VERSION,
        tables=read_rows(run.session),
        drawn_ids=drawn_ids,
        reason=run.reason,
        asks_people=run.asks_people,
        cancelled=run.cancelled,
        paused=run.paused,
        histories=tuple(history.kept(key) for key, history in run.histories.items()),
        in_flight=tuple(
            KeptFlight(**key._asdict(), try_number=out.try_number, state=out.state, stopping=out.stopping)
            for key, out in run.in_flight.items()
            if key not in waits
        ),
        waiting_triggers=tuple(
            KeptDeferral(**key._asdict(), deferral=deferral)
            for key, deferral in {**waits, **run.waiting_triggers}.items()
        ),
        unmutated=_tasks(run.mutations.unseen(keys)),
        alarmed=alarmed,
        candidates=_tasks(candidates),
        xcoms=run.xcoms.records(),
        xcom_changes=run.xcoms.changes,
        task_states=run.memory.all_states(),
        triggered_runs=run.memory.tries_that_triggered(),
        deadlines=run.deadlines.kept(),
        assets=run.assets.kept(),
        past_runs=run.past_runs.kept(),
        claims=claims,
        tickets=tickets,
    )


def resume(execution: DagExecutionInput, snapshot: RunSnapshot) -> OpenRun:
    """The run that a snapshot was taken of."""
    database = RunDatabase()
    write_rows(snapshot.tables, database.session)
    run = OpenRun(execution, load_dag_run(execution.definition, execution.run, database.session), database)
    run.resume(
        {_key(kept): TaskHistory.resume(kept) for kept in snapshot.histories},
        {_key(kept): InFlight(kept.try_number, kept.state, kept.stopping) for kept in snapshot.in_flight},
    )
    run.reason, run.asks_people, run.cancelled = snapshot.reason, snapshot.asks_people, snapshot.cancelled
    run.paused = run.paused_anew = snapshot.paused
    run.waiting_triggers = {_key(kept): kept.deferral for kept in snapshot.waiting_triggers}
    run.mutations.resume([key_of(ti) for ti in run.instances], map(_key, snapshot.unmutated))
    run.xcoms.resume(snapshot.xcoms, snapshot.xcom_changes)
    run.memory.resume(snapshot.task_states, snapshot.triggered_runs)
    run.deadlines.resume(snapshot.deadlines)
    run.assets.resume(snapshot.assets)
    run.past_runs.resume(snapshot.past_runs)
    run.claims.resume(snapshot.claims, snapshot.tickets)
    return run


def resume_frontier(frontier: Frontier, snapshot: RunSnapshot) -> None:
    """What the run was about to look at."""
    frontier.resume(snapshot.alarmed, map(_key, snapshot.candidates))


def _tasks(keys: Iterable[TaskKey]) -> tuple[KeptTask, ...]:
    return tuple(KeptTask(**key._asdict()) for key in keys)


def _key(kept: KeptTask) -> TaskKey:
    return TaskKey(kept.task_id, kept.map_index)
