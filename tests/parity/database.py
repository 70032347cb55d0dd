"""A PostgreSQL server of its own for Airflow, and the processes of a recording.

PostgreSQL as in production: with SQLite a recording hung once, for a reason not looked into. It must not know what is
in the database.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_USER = "postgres"
"""Who runs the server if we are root: PostgreSQL refuses to be."""

START_PATIENCE = 30.0
STOP_PATIENCE = 15.0
"""Seconds."""

DRIVERS = ("asyncpg==0.32.0", "psycopg2-binary==2.9.13")
"""What Airflow needs for PostgreSQL; not a part of our environment."""


class DatabaseError(Exception):
    """The database did not do what was asked."""


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL server, trusting whoever is on this machine."""

    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"

    def query(self, sql: str, **values: str) -> list[dict[str, Any]]:
        """The rows of a query.

        Args:
            sql: names a value as ``:'name'``.
            values: by name.
        """
        text = self.execute(f"select coalesce(json_agg(q), '[]') from ({sql}) q;", **values)
        return json.loads(text)  # type: ignore[no-any-return]

    def execute(self, sql: str, **values: str) -> str:
        """Run statements; what psql prints."""
        settings = [part for name, value in values.items() for part in ("-v", f"{name}={value}")]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *settings, *address]
        ended = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise DatabaseError(f"{ended.stderr}\n{sql}")
        return ended.stdout

    def answers(self) -> bool:
        try:
            self.execute("select 1;")
        except DatabaseError:
            return False
        return True


@contextmanager
def open_database() -> Iterator[Database]:
    """Bring up a new, empty server."""
    with tempfile.TemporaryDirectory(prefix="parity-postgres-", ignore_cleanup_errors=True) as name:
        folder, prefix = Path(name), _as_user()
        if prefix:
            shutil.chown(folder, SYSTEM_USER)
        data = str(folder / "data")
        initdb = [*prefix, "initdb", "-D", data, "-U", "postgres", "-A", "trust"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        [port] = free_ports(1)
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": name, "max_connections": "200"}
        settings = [part for key, value in {**options, "fsync": "off"}.items() for part in ("-c", f"{key}={value}")]
        command = [*prefix, "postgres", "-D", data, "-p", str(port), *settings]
        with running(command, folder / "server.log", dict(os.environ), stop_with=signal.SIGINT):
            database = Database(port)
            deadline = time.monotonic() + START_PATIENCE
            while not database.answers():
                if time.monotonic() > deadline:
                    raise DatabaseError((folder / "server.log").read_text())
                time.sleep(0.1)
            yield database


def install(packages: Sequence[str], folder: Path) -> Path:
    """Packages without what they depend on, in a folder of their own."""
    command = [
        "uv",
        "pip",
        "install",
        "-q",
        "--python",
        sys.executable,
        "--no-deps",
        "--target",
        str(folder),
        *packages,
    ]
    subprocess.run(command, check=True)
    return folder


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str], stop_with: signal.Signals = signal.SIGTERM
) -> Iterator[None]:
    """A process with all that it starts, for as long as the block runs."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, stop_with)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _as_user() -> list[str]:
    return ["runuser", "-u", SYSTEM_USER, "--"] if os.geteuid() == 0 else []
