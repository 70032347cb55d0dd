"""What every test stands on: an Airflow home of its own, and no Airflow settings of the machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

LONGEST = {"property", "parity"}
HOME = Path(tempfile.mkdtemp(prefix="temporal-airflow-tests-"))

for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "TEMPORAL_"))]:
    del os.environ[name]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of some hundred commands would compile our code for itself
os.environ["AIRFLOW_HOME"] = str(HOME / "airflow")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__TEMPORAL__DATA_FOLDER"] = str(HOME / "data")
os.environ["AIRFLOW_CONN_VAULT"] = "generic://user:s3cr3t-passw0rd@host/"
os.environ["_AIRFLOW__AS_LIBRARY"] = "1"  # before anything imports Airflow: a test must never reach a real database

from run_bench import DAGS_FOLDER, RunBench  # noqa: E402  # Airflow reads the environment when it is imported
from temporal_airflow import run_starting  # noqa: E402
from temporal_airflow.connection import Connection, connect  # noqa: E402
from temporal_airflow.dev_server.binary import find_binary  # noqa: E402
from temporal_airflow.engine.airflow_library import import_scheduling_code  # noqa: E402
from temporal_airflow.settings import load_settings  # noqa: E402
from temporal_airflow.tasks.bundles import bundle_environment  # noqa: E402
from temporal_airflow.tasks.slots import ProcessTemplate  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--max-cached-workflows",
        type=int,
        default=500,
        help="Runs a worker keeps in memory; 0 replays every run at each of its steps.",
    )
    parser.addoption("--isolation", choices=["fork", "reuse"], default="fork", help="The setting of that name.")


def pytest_configure(config: pytest.Config) -> None:
    os.environ["AIRFLOW__TEMPORAL__ISOLATION"] = config.getoption("--isolation")
    os.environ["AIRFLOW__TEMPORAL__MAX_CACHED_WORKFLOWS"] = str(config.getoption("--max-cached-workflows"))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fetch the Temporal server before the first test: to build one takes longer than any test may."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not session.config.option.collectonly:  # none in the processes that share the tests
        find_binary(load_settings(), reporter.write_line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: tests are shared out by file, and the last one must not be waited for alone."""
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)


@pytest.fixture(scope="session")
def examples() -> Path:
    return Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="session")
def dags() -> Path:
    return Path(__file__).parent / "dags"


@pytest_asyncio.fixture(scope="session")
async def connection() -> AsyncIterator[Connection]:
    async with connect(load_settings(), ephemeral=True, report=lambda _: None) as connection:
        yield connection


@pytest_asyncio.fixture(scope="session")
async def template() -> AsyncIterator[ProcessTemplate]:
    async with ProcessTemplate.start({**os.environ, **bundle_environment(DAGS_FOLDER)}) as template:
        import_scheduling_code()
        await template.ready()
        yield template


@pytest_asyncio.fixture
async def bench(
    connection: Connection, template: ProcessTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunBench]:
    # for so long a run waits for a worker that leaves at the moment in which the server gives it a step
    monkeypatch.setattr(run_starting, "WORKFLOW_TASK_TIMEOUT", timedelta(seconds=10))
    bench = RunBench(connection.client, template, load_settings(), tmp_path)
    yield bench
    assert await bench.failed_workflow_tasks() == []
