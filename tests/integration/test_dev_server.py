"""Leases of our own Temporal server: shared, counted by locks, safe against kill -9. All servers are real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from temporal_airflow import search_attributes
from temporal_airflow.dev_server import DevServer, launch, lease, leasing, locks
from temporal_airflow.dev_server.binary import find_binary, read_version
from temporal_airflow.dev_server.launch import ServerFiles, ServerState, read_state
from temporal_airflow.exceptions import ServerError
from temporal_airflow.identifiers import SEARCH_ATTRIBUTES
from temporal_airflow.settings import Settings

PATIENCE = 20.0  # seconds

HOLD = """
import asyncio, sys
from pathlib import Path
from temporal_airflow.dev_server import lease
from temporal_airflow.settings import Settings

async def hold(folder, ephemeral):
    async with lease(Settings(data_folder=Path(folder)), ephemeral=bool(ephemeral), report=lambda _: None) as server:
        print(server.address, flush=True)
        await asyncio.sleep(600)

asyncio.run(hold(*sys.argv[1:3]))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a data folder of its own; afterwards no process may be left that uses it."""
    settings = Settings(data_folder=tmp_path / "data")
    yield settings
    eventually("no server process is left", lambda: not processes_naming(tmp_path))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ephemeral servers put their files in this test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def eventually(description: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {description}"
        time.sleep(0.02)


def processes_naming(folder: Path) -> list[psutil.Process]:
    """Parents of servers have the paths of its files on their command line; their children are the servers."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.pid != os.getpid() and str(folder) in " ".join(process.cmdline()):
                found |= {each.pid: each for each in [process, *process.children()]}
    return list(found.values())


def servers(folder: Path) -> list[psutil.Process]:
    return [process for process in processes_naming(folder) if "start-dev" in process.cmdline()]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def files_of(settings: Settings) -> ServerFiles:
    return ServerFiles.of_database(settings, read_version(find_binary(settings, print)))


def state_of(settings: Settings) -> ServerState:
    state = read_state(files_of(settings))
    assert state is not None
    return state


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def lease_elsewhere(settings: Settings, *, ephemeral: bool = False) -> Iterator[str]:
    """A lease in a process that is killed at the end of the block; gives the server's address."""
    command = [sys.executable, "-c", HOLD, str(settings.data_folder), "yes" if ephemeral else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            yield holder.stdout.readline().strip()
        finally:
            holder.kill()


async def start_workflow(server: DevServer) -> Any:
    client = await Client.connect(server.address)
    return await client.start_workflow("anything", id="kept", task_queue="nobody")


async def is_running(server: DevServer, workflow_id: str) -> bool:
    client = await Client.connect(server.address)
    description = await client.get_workflow_handle(workflow_id).describe()
    return description.status is not None and description.status.name == "RUNNING"


async def test_two_leases_share_one_server_which_stops_after_the_last(settings: Settings) -> None:
    start_both = asyncio.Barrier(2)
    both_hold = asyncio.Barrier(2)
    addresses: set[str] = set()

    async def use() -> None:
        await start_both.wait()
        async with lease(settings, report=print) as server:
            addresses.add(server.address)
            await both_hold.wait()
            assert len(servers(settings.data_folder)) == 1

    await asyncio.gather(use(), use())
    assert len(addresses) == 1
    files = files_of(settings)
    eventually("the server has stopped", lambda: not locks.is_held(files.file("owner.lock")))
    assert not files.file("state.json").exists()
    assert files.database.exists()


async def test_a_lease_outlives_the_killed_process_that_started_the_server(settings: Settings) -> None:
    async with contextlib.AsyncExitStack() as leases:
        with lease_elsewhere(settings) as address:
            server = await leases.enter_async_context(lease(settings, report=print))
            assert server.address == address
        await start_workflow(server)
        assert await is_running(server, "kept")


@pytest.mark.parametrize("ephemeral", [False, True], ids=["file", "memory"])
def test_the_server_stops_when_its_only_user_is_killed(settings: Settings, scratch: Path, ephemeral: bool) -> None:
    with lease_elsewhere(settings, ephemeral=ephemeral):
        assert len(servers(scratch if ephemeral else settings.data_folder)) == 1
    eventually("the server has stopped", lambda: not processes_naming(scratch.parent))
    assert names_in(scratch) == []


async def test_a_lease_taken_while_the_server_stops_gets_a_new_one(settings: Settings) -> None:
    async with lease(settings, report=print) as first:
        await start_workflow(first)
        stopping = state_of(settings)
    async with lease(settings, report=print) as second:
        assert state_of(settings).parent_pid != stopping.parent_pid
        assert is_gone(stopping.server_pid)
        assert len(servers(settings.data_folder)) == 1
        assert await is_running(second, "kept")


@pytest.mark.parametrize("victim", ["parent_pid", "server_pid"])
async def test_after_a_kill_the_next_lease_starts_anew_with_the_data(settings: Settings, victim: str) -> None:
    fixed = settings.model_copy(update={"server_port": free_port()})
    async with lease(fixed, report=print) as first:
        await start_workflow(first)
        state = state_of(fixed)
        os.kill(getattr(state, victim), signal.SIGKILL)
        eventually("the server died", lambda: is_gone(state.server_pid))
        async with lease(fixed, report=print) as second:
            assert second.address == first.address
            assert state_of(fixed).server_pid != state.server_pid
            assert await is_running(second, "kept")


async def test_a_state_file_of_a_crashed_machine_is_not_believed(settings: Settings) -> None:
    files = files_of(settings)
    settings.data_folder.mkdir()
    files.file("state.json").write_text("half a st")
    async with lease(settings, report=print) as server:
        await start_workflow(server)


async def test_a_database_that_a_killed_server_left_half_made_is_made_anew(settings: Settings) -> None:
    files = files_of(settings)
    settings.data_folder.mkdir()
    files.file("unfinished").touch()
    sqlite3.connect(files.database).execute("CREATE TABLE only_the_first (id INTEGER)").connection.close()
    async with lease(settings, report=print) as server:
        await start_workflow(server)
        assert not files.file("unfinished").exists()


async def test_an_ephemeral_server_is_private_and_leaves_no_file(settings: Settings, scratch: Path) -> None:
    async with lease(settings, report=print) as shared, lease(settings, ephemeral=True, report=print) as private:
        assert private.address != shared.address
        assert [path.name for path in scratch.rglob("*.db")] == ["temporal-server.db"]
        await start_workflow(private)
    eventually("both servers have stopped", lambda: not processes_naming(scratch.parent))
    assert names_in(scratch) == []


async def test_closed_runs_are_kept_for_90_days(settings: Settings) -> None:
    async with lease(settings, report=print) as server:
        client = await Client.connect(server.address)
        namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        assert namespace.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=90)


async def test_a_new_database_has_our_search_attributes(settings: Settings) -> None:
    async with lease(settings, report=print) as server:
        assert await search_attributes.missing(await Client.connect(server.address)) == {}


async def test_a_database_of_an_older_release_gets_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        for module in (launch, leasing):
            older.setattr(module, "SEARCH_ATTRIBUTES", {})
        async with lease(settings, report=print) as server:
            assert await search_attributes.missing(await Client.connect(server.address)) == SEARCH_ATTRIBUTES
    async with lease(settings, report=print) as server:
        assert await search_attributes.missing(await Client.connect(server.address)) == {}


@pytest.mark.parametrize("name", ["server_port", "ui_port"])
async def test_a_port_in_use_is_named_with_the_remedy(settings: Settings, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=rf"Port {port} \(setting {name}\).*set {name} to another port"):
            async with lease(settings.model_copy(update={name: port}), report=print):
                pass


async def test_a_server_that_ends_at_once_shows_its_last_output(settings: Settings) -> None:
    settings.data_folder.mkdir()
    database = files_of(settings).database
    database.write_bytes(b"this is no database" * 100)
    with pytest.raises(ServerError, match=r"(?s)ended while it was starting.*not a database"):
        async with lease(settings, report=print):
            pass


async def test_the_server_is_out_of_reach_of_the_users_terminal(settings: Settings) -> None:
    async with lease(settings, report=print):
        state = state_of(settings)
        assert os.getsid(state.parent_pid) == os.getsid(state.server_pid) != os.getsid(0)
        assert psutil.Process(state.server_pid).terminal() is None


async def test_a_cancelled_lease_stops_fetching_the_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fetching, ended = threading.Event(), threading.Event()

    def fetch(_: Settings, report: Callable[[str], None]) -> None:
        try:
            while True:
                report("fetching")
                fetching.set()
        finally:
            ended.set()

    monkeypatch.setattr(leasing, "find_binary", fetch)
    task = asyncio.create_task(lease(settings, report=lambda _: None).__aenter__())
    assert await asyncio.to_thread(fetching.wait, PATIENCE)
    task.cancel()
    assert await asyncio.to_thread(ended.wait, PATIENCE)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
async def test_a_forked_child_keeps_no_lease(settings: Settings) -> None:
    async with lease(settings, report=print):
        child = fork_a_process_that_waits()
    try:
        files = files_of(settings)
        eventually("the server has stopped", lambda: not locks.is_held(files.file("owner.lock")))
    finally:
        end(child)


def fork_a_process_that_waits() -> int:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child


def end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
