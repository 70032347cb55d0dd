"""Bad input through the command line: one clear message, an exit code of 2 or 3, and nothing started."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from command_line import CommandLine, Ended
from temporalio.client import Client

from temporal_airflow import identifiers

BAD_INPUT, NO_SERVER = 2, 3

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
    "many.py": """
from airflow.sdk import DAG, task

with DAG("many"):
    @task
    def one(number):
        return number
    one.expand(number=list(range(501)))
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
}


@dataclass
class Refusals:
    """Runs commands that must be refused."""

    commands: CommandLine
    dags: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, file: str, *arguments: str, **environment: str) -> Ended:
        return self.call("run", str(self.dags / file), *arguments, **environment)

    def call(self, *arguments: str, exit_code: int = BAD_INPUT, before: str = "", **environment: str) -> Ended:
        ended = self.commands.call(*arguments, before=before, **self.environment | environment)
        assert ended.exit_code == exit_code, ended
        assert ended.stdout == ""
        assert ended.stderr.count("Error") >= 1
        assert "File" not in ended.stderr.replace(f'File "{self.dags}', "")
        return ended


@pytest.fixture(scope="module")
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
def refused_at_once(commands: CommandLine, dags: Path, tmp_path: Path) -> AsyncIterator[Refusals]:
    """For commands that must not even start a server."""
    data = tmp_path / "data"
    yield Refusals(commands, dags, {"AIRFLOW__TEMPORAL__DATA_FOLDER": str(data)})
    assert not data.exists()


async def run_ids(server: Client) -> set[str]:
    query = f'WorkflowType = "{identifiers.WORKFLOW_TYPE}"'
    return {execution.id async for execution in server.list_workflows(query)}
