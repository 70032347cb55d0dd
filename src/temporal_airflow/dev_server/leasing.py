"""A Temporal server of our own, leased: started by the first command that needs it, stopped after the last one.

All commands of a user share one server per database file; an ephemeral one is private and leaves nothing. A lease must
know neither what runs on the server nor what a worker is; it knows the server by its files only (``launch``).

Who holds what, by locks that the kernel drops when the holder dies, however it dies:

- *users* lock: every lease shares it while it uses the server. The server's parent process (``parent``) waits
  for it exclusively, gets it when the last lease is gone, stops the server, removes the state file, and gives it up by
  ending. Only its exclusive holder removes the state file of a server that ran.
- *owner* lock: the parent and the server hold it together, so it is held exactly as long as one of them lives. It, not
  a process id, tells whether a server is there.
- *startup* lock: whoever finds or starts the server. It is taken first, then the users lock.

The races, and what closes them:

- *Two start at once*: one has the startup lock; the other then finds the server running.
- *A lease arrives while the parent stops the server*: it can't share the users lock until the parent has ended, then
  finds no server and starts one. If it shares the lock just before the parent would get it, the parent waits on.
- *The one who starts it is killed halfway*: its shared lock drops, the parent gets it and stops the server; or a lease
  that came in between waits for that same server to answer.
- *The parent is killed*: the kernel kills the server with it (not on macOS). A lease that sees the dying server waits
  for the owner lock to be free, so two servers never have one database open. The same when the server crashes: its
  parent ends too, leaving the state file, which is not believed without the owner lock.
- *The machine crashed*: the state file is there, the lock isn't. Its process ids may be others' by now; nobody acts on
  them.
- *A lease holder forks*: its children drop their copies of the lock (``locks``).
- *Another program took the free port that was chosen*: the server ends at once; it is started anew on other ports.
- *A server is killed while it makes its database*, which nothing can use then: a file marks the database as unfinished
  until its server first answers, so before any lease was given; marked, it is made anew (``launch``).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from temporal_airflow.dev_server import locks
from temporal_airflow.dev_server.binary import Version, find_binary, read_version
from temporal_airflow.dev_server.launch import ServerFiles, ServerState, launch, read_state
from temporal_airflow.dev_server.locks import HeldLock, Kind
from temporal_airflow.exceptions import ServerError
from temporal_airflow.identifiers import SEARCH_ATTRIBUTES
from temporal_airflow.settings import Settings

NAMESPACE = "default"  # the dev server makes it
RETENTION = timedelta(days=90)  # of closed runs; the dev server's own value is a day
START_TIMEOUT = 30.0  # seconds until a server must answer; 0.3 is usual
START_ATTEMPTS = 3  # of a server that ends while it starts: its free ports were taken meanwhile, or it was killed
CALL_TIMEOUT = 5.0  # seconds for one call to a server
POLL_INTERVAL = 0.01  # seconds between two looks at a starting server
LOCK_TIMEOUT = 90.0  # seconds for another lease's start, or for a parent to stop its server

Report = Callable[[str], None]


@dataclass(frozen=True)
class DevServer:
    """A server of our own that answers for as long as its lease is held."""

    address: str
    ui_url: str
    namespace: str = NAMESPACE


@contextlib.asynccontextmanager
async def lease(settings: Settings, *, ephemeral: bool = False, report: Report) -> AsyncIterator[DevServer]:
    """Use a Temporal server of our own for as long as the block runs.

    Args:
        settings: folders and ports.
        ephemeral: a private server that ends with this lease and leaves nothing behind.
        report: told what takes time; may be called from another thread.

    Raises:
        ServerError: if no server can be found, started or reached.
        VersionMismatchError: if the ``temporal`` on PATH is too old.
    """
    binary = await _find_binary(settings, report)
    version = await asyncio.to_thread(read_version, binary)
    with _files(settings, version, ephemeral=ephemeral) as files, contextlib.ExitStack() as held:
        with await _lock(files, "startup.lock", Kind.EXCLUSIVE):
            held.enter_context(await _lock(files, "users.lock", Kind.SHARED))
            state = await _join(files) or await _start(binary, version, files, settings, report)
        yield DevServer(state.address, state.ui_url)


async def _find_binary(settings: Settings, report: Report) -> Path:
    """Find or fetch the command in a thread, which gives up soon when this task is cancelled."""
    cancelled = threading.Event()

    def report_unless_cancelled(progress: str) -> None:
        if cancelled.is_set():
            raise ServerError("Cancelled while the Temporal server was being fetched.")
        report(progress)

    try:
        return await asyncio.to_thread(find_binary, settings, report_unless_cancelled)
    finally:
        cancelled.set()


@contextlib.contextmanager
def _files(settings: Settings, version: Version, *, ephemeral: bool) -> Iterator[ServerFiles]:
    """Where the server's files are; those of an ephemeral one go at the end (and with its parent, if we are killed)."""
    if ephemeral:
        folder = Path(tempfile.mkdtemp(prefix="temporal-airflow-server-"))
        try:
            yield ServerFiles.of_ephemeral(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    settings.make_data_folder()
    yield ServerFiles.of_database(settings, version)


async def _lock(files: ServerFiles, name: str, kind: Kind) -> HeldLock:
    path = files.file(name)
    try:
        return await locks.acquire(path, kind, LOCK_TIMEOUT)
    except TimeoutError as error:
        raise ServerError(
            f"Another process has held {path} for {LOCK_TIMEOUT:.0f} s: it starts or stops the Temporal server, or is "
            f"suspended. `fuser {path}` names it; end it and try again."
        ) from error


async def _start(binary: Path, version: Version, files: ServerFiles, settings: Settings, report: Report) -> ServerState:
    report(f"Starting a Temporal server ({'for this once' if files.ephemeral else files.database}).")
    for _ in range(START_ATTEMPTS):
        await launch(binary, version, files, settings)
        state = await _join(files)
        if state is not None:
            return state
    raise ServerError(
        f"The Temporal server ended while it was starting, {START_ATTEMPTS} times. Its last output:\n{files.log_tail()}"
    )


async def _join(files: ServerFiles) -> ServerState | None:
    """The server that is there, once it answers; None when there is none, or none any more."""
    state = None
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while locks.is_held(files.file("owner.lock")):
                state = read_state(files)
                if state is not None and await _answers(state, files):
                    files.file("unfinished").unlink(missing_ok=True)
                    return state
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError as error:
        raise ServerError(_no_answer(state, files)) from error
    return None


def _no_answer(state: ServerState | None, files: ServerFiles) -> str:
    server = f"at {state.address} (end it with: kill {state.parent_pid})" if state else "that is starting"
    return (
        f"The Temporal server {server} has not answered for {START_TIMEOUT:.0f} s. "
        f"The end of its log {files.file('log')}:\n{files.log_tail() or '(empty)'}"
    )


async def _answers(state: ServerState, files: ServerFiles) -> bool:
    """Whether the server serves its namespace by now; sees to it that a database has what we need of it."""
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            client = await Client.connect(state.address, namespace=NAMESPACE)
            if not files.ephemeral:
                await _prepare_namespace(client)
    except (RuntimeError, RPCError, TimeoutError):  # the SDK raises RuntimeError when it can't connect
        return False
    return True


async def _prepare_namespace(client: Client) -> None:
    """Let a namespace keep closed runs, and know our search attributes if its database was made without them."""
    namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
    if namespace.config.workflow_execution_retention_ttl.ToTimedelta() != RETENTION:
        change = UpdateNamespaceRequest(namespace=NAMESPACE)
        change.config.workflow_execution_retention_ttl.FromTimedelta(RETENTION)
        await client.workflow_service.update_namespace(change)
    there = set(namespace.config.custom_search_attribute_aliases.values())
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in there}
    if missing:
        types = {name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}") for name, kind in missing.items()}
        with contextlib.suppress(RPCError):  # the user's own have taken all places: then lists go without
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=types)
            )
