"""Stock Airflow with its scheduler, DAG processor, API server and triggerer, for as long as a block runs.

One Airflow runs the whole corpus: LocalExecutor, a metadata database of its own, tuned as in the baselines. What is
compared is read from that database; a trigger notes each change of a task instance's state there, since Airflow keeps
no count of deferrals. It must not know how we run a DAG.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from . import outcome
from .answers import answer_to
from .database import DRIVERS, Database, free_ports, install, open_database, running
from .environment import LOGICAL_DATE, POOLS, RUN_ID, run_conf, shared_environment
from .outcome import Outcome, Span, TaskOutcome

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
START_PATIENCE = 240.0
LOOK_INTERVAL = 0.5
PARSE_QUIET = 15.0
CALLBACK_PATIENCE = 30.0
CALLBACK_LENGTH = 3.0
"""Seconds."""

TIME_TO_THINK = 8
"""Seconds; a task that is answered before its process has ended is taken for lost by Airflow's scheduler."""

TUNED = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": "4",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "1000",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__FERNET_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "AIRFLOW__API_AUTH__JWT_SECRET": "parity-secret-parity-secret-parity-secret-parity-secret-parity-secret-123",
    "AIRFLOW__API__SECRET_KEY": "oracle-secret-key",  # masked in logs, so no word that says something
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.05",
    "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "128",
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "100",
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "100",
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "86400",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "86400",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "20",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}
"""As in the baselines; no run starts but those asked for (``use_job_schedule``); and a supervisor that has missed the
end of its task sleeps for 1 s, not 5 (``min_heartbeat_interval``): else the scheduler hears of the end when it has
queued the task again, after a short retry or reschedule, and takes that one for lost.
"""

NOTE_TRANSITIONS = """
create table parity_transition (dag_id text, run_id text, task_id text, map_index integer, state text);
create function parity_note_transition() returns trigger language plpgsql as $$
begin
    insert into parity_transition values (new.dag_id, new.run_id, new.task_id, new.map_index, new.state);
    return null;
end $$;
create trigger parity_note_transition after update of state on task_instance for each row
when (new.state is distinct from old.state) execute function parity_note_transition();
"""

OF_RUN = f"dag_id = :'dag_id' and run_id = '{RUN_ID}'"
"""Condition on the rows of the one run of a DAG."""


class OracleError(Exception):
    """Airflow did not do what was asked."""


@dataclass
class Oracle:
    """A running Airflow.

    Attributes:
        home: its AIRFLOW_HOME, with logs of each component.
        scratch: where DAGs leave notes.
    """

    home: Path
    scratch: Path
    url: str
    database: Database
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def make_pools(self) -> None:
        """Make the pools that there are on both sides."""
        for name, slots in POOLS.items():
            answer = self.http.post(f"{self.url}/api/v2/pools", json={"name": name, "slots": slots})
            if not answer.is_success:
                raise OracleError(f"pool {name} can't be made: {answer.text}")

    def trigger(self, dag_id: str, path: Path) -> None:
        """Start the one run of a DAG."""
        conf = run_conf(dag_id, path, self.scratch)
        (self.scratch / dag_id).mkdir(parents=True, exist_ok=True)
        answer = self.http.post(
            f"{self.url}/api/v2/dags/{dag_id}/dagRuns",
            json={"dag_run_id": RUN_ID, "logical_date": LOGICAL_DATE.isoformat(), "conf": conf},
        )
        if answer.status_code != httpx.codes.OK:
            raise OracleError(f"{dag_id} can't be triggered: {answer.status_code} {answer.text}")

    def unfinished(self, dag_ids: Collection[str]) -> set[str]:
        """Which of the triggered DAGs still run."""
        rows = self.database.query(
            f"select dag_id from dag_run where run_id = '{RUN_ID}' and state not in ('success', 'failed')"
        )
        return {row["dag_id"] for row in rows} & set(dag_ids)

    def answer_people(self) -> None:
        """Answer what the tasks of all runs ask, as a person would in Airflow's UI."""
        asking = self.database.query(
            "select ti.dag_id, ti.task_id, ti.map_index, ti.try_number from task_instance ti "
            f"join hitl_detail h on h.ti_id = ti.id where ti.run_id = '{RUN_ID}' and h.responded_at is null "
            "and ti.state in ('awaiting_input', 'deferred') "
            f"and ti.updated_at < now() - interval '{TIME_TO_THINK} seconds'"
        )
        for ti in asking:
            given = answer_to(ti["dag_id"], outcome.label(ti["task_id"], ti["map_index"]), ti["try_number"])
            if given is not None:
                task = f"{self.url}/api/v2/dags/{ti['dag_id']}/dagRuns/{RUN_ID}/taskInstances/{ti['task_id']}"
                answer = self.http.patch(
                    f"{task}/{ti['map_index']}/hitlDetails",
                    json={"chosen_options": given.options, "params_input": given.params},
                )
                if not answer.is_success:
                    raise OracleError(f"{ti} can't be answered: {answer.status_code} {answer.text}")

    def known_dags(self) -> dict[str, Path]:
        """Every DAG that Airflow has parsed, with its file."""
        rows = self.database.query("select d.dag_id, d.fileloc from dag d join serialized_dag s on s.dag_id = d.dag_id")
        return {row["dag_id"]: Path(row["fileloc"]) for row in rows}

    def inactive_assets(self) -> int:
        """How many outlets the scheduler has not made active yet: tasks that emit them would fail."""
        return len(
            self.database.query(
                "select a.id from task_outlet_asset_reference r join asset a on a.id = r.asset_id "
                "where not exists (select 1 from asset_active x where x.name = a.name or x.uri = a.uri)"
            )
        )

    def import_errors(self) -> dict[str, str]:
        return {row["filename"]: row["stacktrace"] for row in self.database.query("select * from import_error")}

    def hasten_retries(self, dag_ids: Collection[str]) -> None:
        """Let tasks that have waited for a retry for a moment wait no longer."""
        for dag_id in dag_ids:
            self.database.execute(
                "update task_instance set end_date = end_date - interval '1 day' "
                f"where {OF_RUN} and state = 'up_for_retry' "
                f"and end_date between now() - interval '1 hour' and now() - interval '{TIME_TO_THINK} seconds';",
                dag_id=dag_id,
            )

    def abandon(self, dag_id: str) -> None:
        """Stop the run of a DAG that doesn't end."""
        self.http.patch(f"{self.url}/api/v2/dags/{dag_id}/dagRuns/{RUN_ID}", json={"state": "failed"})

    def await_callbacks(self) -> None:
        """Wait until no callback is left to be called."""
        callbacks = "select id from callback where type = 'dag_processor'"
        _await("all callbacks called", CALLBACK_PATIENCE, lambda: not self.database.query(callbacks))
        time.sleep(CALLBACK_LENGTH)

    def outcome(self, dag_id: str) -> Outcome:
        """What became of a DAG's run."""
        [run] = self.database.query(f"select state from dag_run where {OF_RUN}", dag_id=dag_id)
        return Outcome(
            dag_id=dag_id,
            state=run["state"],
            tasks=self._tasks(dag_id),
            xcoms=self._xcoms(dag_id),
            notes=outcome.read_notes(self.scratch / dag_id),
            asset_events=self._asset_events(dag_id),
        )

    def _tasks(self, dag_id: str) -> dict[str, TaskOutcome]:
        rows = self.database.query(
            f"select * from task_instance where {OF_RUN} order by task_id, map_index", dag_id=dag_id
        )
        spans = {(row["task_id"], row["map_index"]): _span(row) for row in rows}
        upstream = outcome.upstream_of(self._serialized(dag_id))
        transitions = Counter(
            (row["task_id"], row["map_index"], row["state"])
            for row in self.database.query(f"select * from parity_transition where {OF_RUN}", dag_id=dag_id)
        )
        return {
            outcome.label(task_id, map_index): TaskOutcome(
                state=row["state"],
                try_number=row["try_number"],
                map_index=map_index,
                rendered_map_index=row["rendered_map_index"],
                reschedules=transitions[task_id, map_index, "up_for_reschedule"],
                deferrals=transitions[task_id, map_index, "deferred"],
                started_before=outcome.started_before(span, spans.values(), upstream.get(task_id, ())),
            )
            for ((task_id, map_index), span), row in zip(spans.items(), rows, strict=True)
        }

    def _serialized(self, dag_id: str) -> dict[str, Any]:
        [row] = self.database.query(
            "select data from serialized_dag where dag_id = :'dag_id' order by created_at desc limit 1", dag_id=dag_id
        )
        return row["data"]  # type: ignore[no-any-return]

    def _xcoms(self, dag_id: str) -> dict[str, dict[str, Any]]:
        rows = self.database.query(f"select * from xcom where {OF_RUN} order by task_id, map_index, key", dag_id=dag_id)
        xcoms: dict[str, dict[str, Any]] = {}
        for row in rows:
            xcoms.setdefault(outcome.label(row["task_id"], row["map_index"]), {})[row["key"]] = row["value"]
        return xcoms

    def _asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        rows = self.database.query(
            "select a.name, a.uri, e.extra, e.partition_key, e.source_task_id, e.source_map_index, "
            "array(select s.name from asset_alias_asset_event l join asset_alias s on s.id = l.alias_id "
            "where l.event_id = e.id) as aliases "
            "from asset_event e join asset a on a.id = e.asset_id "
            f"where e.source_dag_id = :'dag_id' and e.source_run_id = '{RUN_ID}'",
            dag_id=dag_id,
        )
        return [
            {
                "name": row["name"],
                "uri": row["uri"],
                "extra": row["extra"],
                "partition_key": row["partition_key"],
                "source": outcome.label(row["source_task_id"], row["source_map_index"]),
                "aliases": sorted(row["aliases"]),
            }
            for row in rows
        ]


@contextmanager
def open_oracle(
    home: Path, scratch: Path, settings: Mapping[str, str] = MappingProxyType({}), packages: Sequence[str] = ()
) -> Iterator[Oracle]:
    """Bring up a new Airflow in an empty folder.

    Args:
        home: that folder.
        scratch: where DAGs leave notes.
        settings: environment variables in the place of the corpus's.
        packages: that it has beyond those of our environment.
    """
    port, *log_ports = free_ports(3)
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        database = stack.enter_context(open_database())
        environment = {**shared_environment(home), **TUNED, **_addresses(url, port, log_ports), **settings}
        environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database.url
        environment["PYTHONPATH"] += f"{os.pathsep}{install([*DRIVERS, *packages], home / 'packages')}"
        _run(home, environment, "db", "migrate")
        database.execute(NOTE_TRANSITIONS)
        for component in COMPONENTS:
            log = home / f"{component}.log"
            stack.enter_context(running([_airflow(), component], log, environment))
        oracle = Oracle(home, scratch, url, database)
        stack.callback(oracle.http.close)
        _await("API server up", START_PATIENCE, lambda: _log_in(oracle))
        oracle.make_pools()
        yield oracle


def await_parsed(oracle: Oracle) -> None:
    """Wait until Airflow has parsed every file there is: until it finds no more DAGs for a while."""
    found, since = -1, time.monotonic()

    def settled() -> bool:
        nonlocal found, since
        count = len(oracle.known_dags())
        if count != found:
            found, since = count, time.monotonic()
        return count > 0 and time.monotonic() - since > PARSE_QUIET and not oracle.inactive_assets()

    _await("all DAG files parsed", START_PATIENCE, settled)


def _addresses(url: str, port: int, log_ports: list[int]) -> dict[str, str]:
    return {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
    }


def _log_in(oracle: Oracle) -> bool:
    try:
        answer = oracle.http.get(f"{oracle.url}/auth/token")
    except httpx.TransportError:
        return False
    if not answer.is_success:
        return False
    oracle.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return True


def _run(home: Path, environment: dict[str, str], *arguments: str) -> None:
    log = home / f"{'-'.join(arguments)}.log"
    with log.open("wb") as output:
        ended = subprocess.run(
            [_airflow(), *arguments], env=environment, cwd=home, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if ended.returncode != 0:
        raise OracleError(f"airflow {' '.join(arguments)} failed:\n{log.read_text()[-4000:]}")


def _airflow() -> str:
    return str(Path(sys.executable).with_name("airflow"))


def _span(row: dict[str, Any]) -> Span:
    return Span(
        row["task_id"], row["map_index"], _moment(row["start_date"]), _moment(row["end_date"]), row["pid"] is not None
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _await(what: str, patience: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise OracleError(f"not within {patience:.0f} s: {what}")
        time.sleep(LOOK_INTERVAL)
