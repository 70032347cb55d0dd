"""Fixtures of the tests that use the command line: one Airflow home, one server, one set of DAG files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from command_line import CommandLine, environment_of
from run_bench import failures_in
from temporal_airflow.dev_server import lease
from temporal_airflow.settings import Settings


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for everything that commands leave."""
    return tmp_path_factory.mktemp("home")


@pytest_asyncio.fixture(scope="session")
async def server(home: Path) -> AsyncIterator[Client]:
    """The server that all commands join; at the end, no workflow task may have failed on it."""
    async with lease(Settings(data_folder=home / "data"), report=lambda _: None) as server:
        client = await Client.connect(server.address, namespace=server.namespace)
        yield client
        assert [failure async for failure in _failed_workflow_tasks(client)] == []


@pytest.fixture(scope="session")
def commands(home: Path, server: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """Runs commands."""
    commands = CommandLine(environment_of(home), tmp_path_factory.mktemp("output"))
    yield commands
    commands.close()


async def _failed_workflow_tasks(client: Client) -> AsyncIterator[str]:
    async for execution in client.list_workflows():
        history = await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
        for failure in failures_in(history):
            yield f"{execution.id}: {failure}"
