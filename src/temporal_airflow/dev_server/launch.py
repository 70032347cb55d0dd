"""Starts one Temporal server under its parent process, tuned for short tasks, and reads what it left on disk.

It must not know who uses the server or when it stops: ``dev_server`` holds the locks, ``parent`` stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from temporal_airflow.dev_server.binary import Version
from temporal_airflow.dev_server.parent import Launch
from temporal_airflow.exceptions import ServerError
from temporal_airflow.identifiers import SEARCH_ATTRIBUTES
from temporal_airflow.settings import Settings

HOST = "127.0.0.1"
LAUNCH_TIMEOUT = 20.0  # seconds until the parent process has taken the server's owner lock
LOG_TAIL = 10  # lines
PARENT = Path(__file__).with_name("parent.py")
TETHER = Path(__file__).with_name("tether.py")

# Stock values cost 100 ms a step and 475 ms a timer (one shard, 20 polls a second); partitions are for clusters; 2,000
# updates are all that a run's tasks could write in all; and an eager activity comes back on the answer to the workflow
# task that started it, which saves a third of the server's work in a chain.
DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxTimeShift": '"10ms"',
    # between two clean-ups of queues; each new task walks through all that were done since the last one
    "history.transferProcessorUpdateAckInterval": '"1s"',
    "history.timerProcessorUpdateAckInterval": '"1s"',
    "history.visibilityProcessorUpdateAckInterval": '"1s"',
    "history.maxTotalUpdates": "20000",
    "system.enableActivityEagerExecution": "true",
    "matching.useNewMatcher": "true",
    "matching.enableFairness": "true",
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
}
SQLITE_PRAGMAS = {"journal_mode": "wal", "synchronous": "normal"}  # as fast as memory; survives the machine's crash


@dataclass(frozen=True)
class ServerFiles:
    """The files of one server, side by side.

    Attributes:
        ephemeral: whether the folder goes with the server.
    """

    folder: Path
    name: str
    ephemeral: bool = False

    @classmethod
    def of_database(cls, settings: Settings, version: Version) -> ServerFiles:
        """Those of the user's server: named by version, as a database can't be read by an older server."""
        name = f"temporal-server-{version.server_name}"
        return cls(settings.data_folder.absolute(), name)

    @classmethod
    def of_ephemeral(cls, folder: Path) -> ServerFiles:
        """Those of a private server, in a folder that nobody else knows.

        It has a database file, too: one in memory is lost with its connection, which a busy machine interrupts.
        """
        return cls(folder, "temporal-server", ephemeral=True)

    @property
    def database(self) -> Path:
        """Where the server keeps everything."""
        return self.file("db")

    def file(self, ending: str) -> Path:
        """``state.json``, ``log``, ``unfinished``, or a lock: ``users.lock``, ``owner.lock``, ``startup.lock``."""
        return self.folder / f"{self.name}.{ending}"

    def log_tail(self) -> str:
        """The last lines that the server printed."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.file("log").read_text(errors="replace").splitlines()[-LOG_TAIL:])
        return ""


@dataclass(frozen=True)
class ServerState:
    """What the parent process writes about its server."""

    address: str
    ui_url: str
    server_version: str
    parent_pid: int
    server_pid: int


def read_state(files: ServerFiles) -> ServerState | None:
    """The state file; None when there is none. It may be stale: only the owner lock says that a server lives."""
    try:
        return ServerState(**json.loads(files.file("state.json").read_text()))
    except FileNotFoundError:
        return None


async def launch(binary: Path, version: Version, files: ServerFiles, settings: Settings) -> None:
    """Start a server; when this returns its parent process holds the owner lock, and the server is coming up.

    Raises:
        ServerError: if a port from the settings is taken, or the parent process can't start.
    """
    port = _port("server_port", settings.server_port)
    ui_port = _port("ui_port", settings.ui_port)
    plan = Launch(
        command=_command(binary, files, port, ui_port),
        tether=str(TETHER),
        owner_lock=str(files.file("owner.lock")),
        users_lock=str(files.file("users.lock")),
        state_file=str(files.file("state.json")),
        state={
            "address": f"{HOST}:{port}",
            "ui_url": f"http://{HOST}:{ui_port}",
            "server_version": version.server_name,
        },
        scratch=str(files.folder) if files.ephemeral else None,
    )
    files.file("state.json").unlink(missing_ok=True)  # of a server that crashed
    _clear_unfinished(files.database, files.file("unfinished"))
    await asyncio.to_thread(_run_parent, plan, files)


def _clear_unfinished(database: Path, mark: Path) -> None:
    """Mark a database that is about to be made; remove one that still is marked, as nobody ever used it."""
    if mark.exists():
        for ending in ("", "-wal", "-shm"):
            database.with_name(database.name + ending).unlink(missing_ok=True)
    elif not database.exists():
        mark.touch()


def _run_parent(plan: Launch, files: ServerFiles) -> None:
    """Run the parent until it has gone to the background; in a session of its own, without the user's terminal."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    try:
        with files.file("log").open("wb") as log:
            subprocess.run(
                [sys.executable, "-I", "-S", str(PARENT), json.dumps(plan)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=files.folder,
                env=environment,
                start_new_session=True,
                timeout=LAUNCH_TIMEOUT,
                check=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"The Temporal server could not be started: {error}\n{files.log_tail()}") from error


def _command(binary: Path, files: ServerFiles, port: int, ui_port: int) -> list[str]:
    command = [str(binary), "server", "start-dev", "--ip", HOST, "--port", str(port), "--ui-port", str(ui_port)]
    command += ["--log-level", "error"]
    for name, value in DYNAMIC_CONFIG.items():
        command += ["--dynamic-config-value", f"{name}={value}"]
    for name, kind in SEARCH_ATTRIBUTES.items():  # a database that there is already keeps those that it has
        command += ["--search-attribute", f"{name}={kind}"]
    command += ["--db-filename", str(files.database)]
    for name, value in SQLITE_PRAGMAS.items():
        command += ["--sqlite-pragma", f"{name}={value}"]
    return command


def _port(setting: str, port: int) -> int:
    """A free port: the one set, or any when it is 0.

    Raises:
        ServerError: if another program listens on the one set.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or just closed connections would count as use
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(
                f"Port {port} (setting {setting}) can't be used for the Temporal server: {error.strerror}. "
                f"End the program that uses it, or set {setting} to another port, or to 0 for a free one; "
                f"if it is a Temporal server that you want to use, name it in [temporal] address: {HOST}:{port}."
            ) from error
        return int(probe.getsockname()[1])
