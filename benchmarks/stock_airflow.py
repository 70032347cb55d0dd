"""The same DAG files under stock Airflow: LocalExecutor, PostgreSQL, scheduler tuned for short tasks.

PostgreSQL runs without fsync, which favours Airflow. While the block runs, everything below this process is counted as
Airflow's: nothing else may have been started by it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from benchmarks.installation import HOME, TASK_ENVIRONMENT
from benchmarks.measured import Measured, latency_of, load
from benchmarks.processes import Tree
from benchmarks.shapes import DAGS, SHAPES, Shape
from parity.database import DRIVERS, Database, free_ports, install, open_database, running

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
START_PATIENCE = 240.0
RUN_PATIENCE = 900.0
LOOK = 0.2
"""Seconds."""

TUNED = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": "32",
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__FERNET_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "AIRFLOW__API_AUTH__JWT_SECRET": "benchmark-secret-benchmark-secret-benchmark-secret-benchmark-secret-123",
    "AIRFLOW__API__SECRET_KEY": "benchmark",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "1000",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.05",
    "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "128",
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "100",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "20",
}


class StockAirflowError(Exception):
    """Airflow did not do what was asked."""


@dataclass(frozen=True)
class StockAirflow:
    """A running Airflow."""

    url: str
    database: Database
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def log_in(self) -> bool:
        """Whether the API server is there and lets us in."""
        try:
            answer = self.http.get(f"{self.url}/auth/token")
        except httpx.TransportError:
            return False
        if not answer.is_success:
            return False
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return True

    def knows_all(self) -> bool:
        """Whether every DAG of the benchmark is parsed."""
        known = {row["dag_id"] for row in self.database.query("select dag_id from serialized_dag")}
        return {shape.dag_id for shape in SHAPES.values()} <= known

    def trigger(self, dag_id: str) -> str:
        """Start a run; its id."""
        run_id = uuid.uuid4().hex
        answer = self.http.post(
            f"{self.url}/api/v2/dags/{dag_id}/dagRuns", json={"dag_run_id": run_id, "logical_date": None}
        )
        if not answer.is_success:
            raise StockAirflowError(f"{dag_id} can't be triggered: {answer.status_code} {answer.text}")
        return run_id

    def measure(self, shape: Shape, repetition: int) -> Measured:
        """Run a shape once.

        Raises:
            StockAirflowError: if a run fails or takes too long.
        """
        self.log_in()
        before, loaded, begin = _cpu(), load(), datetime.now(UTC)
        run_ids = [self.trigger(shape.dag_id) for _ in range(shape.runs)]
        _await(f"{shape.name} to end", RUN_PATIENCE, lambda: not self._open(run_ids))
        cpu, memory = _cpu() - before, sum(tree.pss() for tree in _trees())
        ended = [self._succeeded_at(run_id) for run_id in run_ids]
        is_chain = shape.handwritten[0] == "Chain"
        return Measured(
            shape=shape.name,
            side="airflow",
            isolation=None,
            repetition=repetition,
            tasks=shape.all_tasks,
            wall=(max(ended) - begin).total_seconds(),
            latency=latency_of([self._starts(run_id) for run_id in run_ids]) if is_chain else None,
            cpu={"airflow": cpu},
            pss=memory,
            load=loaded,
        )

    def _open(self, run_ids: list[str]) -> set[str]:
        rows = self.database.query("select run_id from dag_run where state not in ('success', 'failed')")
        return {row["run_id"] for row in rows} & set(run_ids)

    def _succeeded_at(self, run_id: str) -> datetime:
        [row] = self.database.query("select state, end_date from dag_run where run_id = :'run_id'", run_id=run_id)
        if row["state"] != "success":
            raise StockAirflowError(f"run {run_id} ended as {row['state']}")
        return datetime.fromisoformat(row["end_date"])

    def _starts(self, run_id: str) -> list[datetime]:
        rows = self.database.query("select start_date from task_instance where run_id = :'run_id'", run_id=run_id)
        return [datetime.fromisoformat(row["start_date"]) for row in rows]


@contextmanager
def open_airflow() -> Iterator[StockAirflow]:
    """Bring up a new Airflow that has parsed the DAGs and has run one, so that its processes are warm.

    Raises:
        StockAirflowError: if it doesn't come up.
    """
    home = HOME / "stock-airflow"
    home.mkdir()
    port, *log_ports = free_ports(3)
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        database = stack.enter_context(open_database())
        environment = {
            **TASK_ENVIRONMENT,
            **TUNED,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
            "PYTHONPATH": str(install(DRIVERS, home / "packages")),
        }
        environment.pop("_AIRFLOW__AS_LIBRARY", None)
        _migrate(home, environment)
        for component in COMPONENTS:
            stack.enter_context(running([_command(), component], home / f"{component}.log", environment))
        stock = StockAirflow(url, database)
        stack.callback(stock.http.close)
        _await("the API server", START_PATIENCE, stock.log_in)
        _await("all DAGs to be parsed", START_PATIENCE, stock.knows_all)
        stock.measure(SHAPES["fan-100"], repetition=-1)
        yield stock


def _migrate(home: Path, environment: dict[str, str]) -> None:
    ended = subprocess.run(
        [_command(), "db", "migrate"], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise StockAirflowError(f"airflow db migrate failed:\n{ended.stderr[-4000:]}")


def _command() -> str:
    return str(Path(sys.executable).with_name("airflow"))


def _trees() -> list[Tree]:
    return [Tree(child.pid) for child in psutil.Process(os.getpid()).children()]


def _cpu() -> float:
    return sum(tree.cpu() for tree in _trees())


def _await(what: str, patience: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise StockAirflowError(f"waited in vain for {what}")
        time.sleep(LOOK)
