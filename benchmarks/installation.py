"""What a user has: a server of our own on a database file, one worker of the command line, and the hand-written worker.

It sets the environment of this process, so import it before anything of Airflow. It must not know what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

HOME = Path(tempfile.mkdtemp(prefix="temporal-airflow-benchmark-"))

for _name in [name for name in os.environ if name.startswith(("AIRFLOW__", "TEMPORAL_"))]:
    if _name != "AIRFLOW__TEMPORAL__CACHE_FOLDER":
        del os.environ[_name]
os.environ["AIRFLOW_HOME"] = str(HOME / "airflow")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__TEMPORAL__DATA_FOLDER"] = str(HOME / "data")
TASK_ENVIRONMENT = dict(os.environ)
os.environ["_AIRFLOW__AS_LIBRARY"] = "1"

from temporalio.client import Client  # noqa: E402  # Airflow reads the environment when it is imported

from benchmarks.processes import Tree  # noqa: E402
from benchmarks.shapes import DAGS, HANDWRITTEN, Isolation  # noqa: E402
from temporal_airflow.connection import Connection, connect  # noqa: E402
from temporal_airflow.dev_server.binary import find_binary, read_version  # noqa: E402
from temporal_airflow.dev_server.launch import ServerFiles, read_state  # noqa: E402
from temporal_airflow.settings import Settings, load_settings  # noqa: E402

HANDWRITTEN_QUEUE = "handwritten"
START_PATIENCE = 60.0
STOP_PATIENCE = 30.0
"""Seconds."""


class NotReadyError(Exception):
    """A worker could not be brought up."""


@dataclass(frozen=True)
class Process:
    """A started process.

    Attributes:
        ready_after: seconds from its start until it said that it was ready.
    """

    tree: Tree
    ready_after: float


@dataclass(frozen=True)
class Installation:
    """A server and who connects to it."""

    connection: Connection
    settings: Settings
    server: Tree
    server_version: str

    @property
    def client(self) -> Client:
        """Connected to the server."""
        return self.connection.client


@asynccontextmanager
async def open_installation() -> AsyncIterator[Installation]:
    """Bring up the server, as tuned as a user gets it, on a database file that goes at the end."""
    settings = load_settings()
    async with connect(settings, report=_to_stderr) as connection:
        binary = find_binary(settings, _to_stderr)
        version = read_version(binary)
        state = read_state(ServerFiles.of_database(settings, version))
        assert state is not None, "a server that answers has a state file"
        yield Installation(connection, settings, Tree(state.parent_pid), version.server_name)


@asynccontextmanager
async def our_worker(
    isolation: Isolation, module: str = "temporal_airflow", **environment: str
) -> AsyncIterator[Process]:
    """``temporal-airflow worker`` for as long as the block runs.

    Args:
        isolation: of tasks.
        module: that is the command.
        environment: more variables.

    Raises:
        NotReadyError: if it doesn't come up, or this version has no such isolation.
    """
    if isolation != "fork" and "isolation" not in Settings.model_fields:
        raise NotReadyError("This version has no setting `isolation`: a task is always a process of its own.")
    command = [sys.executable, "-m", module, "worker", "--dags-folder", str(DAGS)]
    variables = {**TASK_ENVIRONMENT, "AIRFLOW__TEMPORAL__ISOLATION": isolation, **environment}
    async with _running(command, variables, "Worker ready") as process:
        yield process


@asynccontextmanager
async def handwritten_worker(connection: Connection) -> AsyncIterator[Process]:
    """The worker of the hand-written workflows for as long as the block runs."""
    command = [sys.executable, str(HANDWRITTEN), connection.address, connection.namespace, HANDWRITTEN_QUEUE]
    async with _running(command, TASK_ENVIRONMENT, "ready") as process:
        yield process


@asynccontextmanager
async def _running(command: Sequence[str], environment: Mapping[str, str], sign: str) -> AsyncIterator[Process]:
    """A process that says when it is ready, and is asked to stop at the end."""
    log = HOME / f"worker-{time.monotonic_ns()}.log"
    begin = time.monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=output, stderr=output)
    try:
        while sign not in log.read_text(errors="replace"):
            if process.returncode is not None or time.monotonic() - begin > START_PATIENCE:
                raise NotReadyError(f"{' '.join(command)} did not get ready:\n{log.read_text(errors='replace')}")
            await asyncio.sleep(0.01)
        yield Process(Tree(process.pid), time.monotonic() - begin)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()


def _to_stderr(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")
