"""What bad input is given to: DAG files, runs that exist, and a check that a refused command starts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

import waiting
from command_line import CommandLine
from refused_commands import Refusals
from temporal_airflow import identifiers

FILES = {
    "good.py": """
from airflow.sdk import DAG, task

with DAG("good"):
    @task
    def one():
        return 1
    one()
""",
    "syntax_error.py": """
from airflow.sdk import DAG

with DAG("broken":
    pass
""",
    "import_error.py": """
from airflow.sdk import DAG
import no_such_module_of_mine
""",
    "key_error.py": """
def settings():
    return {}["missing key"]

settings()
""",
    "no_dag.py": """
answer = 42
""",
    "several.py": """
from airflow.sdk import DAG

with DAG("orders"):
    pass
with DAG("customers"):
    pass
""",
    "params.py": """
from airflow.sdk import DAG, Param

with DAG("params", params={"count": Param(1, type="integer", minimum=0)}):
    pass
""",
    "cycle.py": """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("cycle"):
    a = EmptyOperator(task_id="a")
    b = EmptyOperator(task_id="b")
    a >> b >> a
""",
    "too_large.py": """
from airflow.sdk import DAG
from temporal_airflow.tasks import dag_loading

dag_loading.MAX_COMPRESSED_DAG = 100  # this file and its loading share a process

with DAG("too_large"):
    pass
""",
    "exits.py": """
import sys
sys.exit("no licence for this")
""",
    "dies.py": """
import os
os._exit(7)
""",
    "unserializable.py": """
from airflow.sdk import DAG
from airflow.timetables.base import Timetable

class Mine(Timetable):
    def infer_manual_data_interval(self, *, run_after):
        raise ValueError("no interval today")

with DAG("unserializable", schedule=Mine()):
    pass
""",
    "notes.txt": "no DAG here",
    "binary.py": "\x00\x01",
}


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dags")
    for name, source in FILES.items():
        (folder / name).write_text(source.lstrip())
    return folder


@pytest_asyncio.fixture
async def refused(commands: CommandLine, dags: Path, server: Client) -> AsyncIterator[Refusals]:
    """For commands that may look at the server, and must start nothing on it."""
    before = await run_ids(server)
    yield Refusals(commands, dags)
    assert await run_ids(server) == before


@pytest.fixture
def refused_at_once(commands: CommandLine, dags: Path, tmp_path: Path) -> Iterator[Refusals]:
    """For commands that must not even start a server."""
    data = tmp_path / "data"
    yield Refusals(commands, dags, {"AIRFLOW__TEMPORAL__DATA_FOLDER": str(data)})
    assert not data.exists()


@pytest_asyncio.fixture(scope="session")
async def ended_run(commands: CommandLine, dags: Path, server: Client) -> str:
    """A run of the DAG `good` that has ended."""
    assert commands.call("run", dags / "good.py", "--run-id", "ended").exit_code == 0
    await is_listed(server, "dag-good-ended")
    return "good/ended"


@pytest_asyncio.fixture(scope="session")
async def waiting_run(commands: CommandLine, dags: Path, server: Client) -> str:
    """An open run of the DAG `good` that waits for a worker."""
    triggered = commands.call("trigger", dags / "good.py", "--run-id", "open")
    assert triggered.stdout == "dag-good-open\n"
    await is_listed(server, "dag-good-open")
    return "good/open"


@pytest_asyncio.fixture(scope="session")
async def open_run(server: Client) -> str:
    """An open run that no worker serves, of DAG `a-b`; its run id is `c`."""
    memo = {"dag_id": "a-b", "run_id": "c"}
    await server.start_workflow(identifiers.WORKFLOW_TYPE, id="dag-a-b-c", task_queue="nobody", memo=memo)
    await is_listed(server, "dag-a-b-c")
    return "a-b/c"


async def is_listed(server: Client, workflow_id: str) -> None:
    """Wait until the server lists the run: it does so a moment after the start."""

    async def listed() -> bool:
        return workflow_id in await run_ids(server)

    await waiting.until(f"{workflow_id} is listed", listed)


async def run_ids(server: Client) -> set[str]:
    query = f'WorkflowType = "{identifiers.WORKFLOW_TYPE}"'
    return {execution.id async for execution in server.list_workflows(query)}
