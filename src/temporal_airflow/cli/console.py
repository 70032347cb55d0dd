"""How commands speak: progress and errors to stderr, data to stdout, exit codes by the kind of error."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow.client import DagRunClient
from temporal_airflow.connection import Connection, connect
from temporal_airflow.exceptions import ExitCode, TemporalAirflowError
from temporal_airflow.settings import Settings, load_settings

PIPE_WIDTH = 200
"""Columns where there is no terminal: a run id must not be broken into lines for a program that reads them."""

stderr = Console(stderr=True, soft_wrap=True, highlight=False)
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def report(progress: str) -> None:
    """Tell what takes time."""
    stderr.print(progress, style="dim", markup=False)


def warn(warning: str) -> None:
    """Tell what the user should know, though it stops nothing."""
    stderr.print(f"Warning: {warning}", style="yellow", markup=False)


def print_json(value: Any) -> None:
    """Print one JSON value, and nothing else, on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, default=_as_json) + "\n")
    sys.stdout.flush()


def _as_json(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def execute(command: Coroutine[Any, Any, ExitCode]) -> NoReturn:
    """Run a command to its end and leave with its exit code; a user's mistake gives a message, not a stack trace."""
    _keep_stdout_clean()
    try:
        code = asyncio.run(command)
    except TemporalAirflowError as error:
        fail(str(error), error.exit_code)
    except RPCError as error:
        fail(_explain(error), ExitCode.NO_SERVER)
    except KeyboardInterrupt:
        fail("Interrupted.", ExitCode.INTERRUPTED)
    raise typer.Exit(code)


def _keep_stdout_clean() -> None:
    """Send what Temporal's SDK logs to Python's logging, so to stderr; by itself it writes to stdout."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    levels = TelemetryFilter(core_level="WARN", other_level="ERROR")
    telemetry = TelemetryConfig(logging=LoggingConfig(filter=levels, forwarding=forwarding))
    Runtime.set_default(Runtime(telemetry=telemetry))


def _explain(error: RPCError) -> str:
    away = error.status in {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
    happened = "can't be reached any more" if away else "answered with an error"
    return f"The Temporal server {happened}: {error.message}. `temporal-airflow doctor` looks at the connection."


def fail(message: str, code: ExitCode) -> NoReturn:
    """End the command with an error."""
    stderr.print("Error:", style="bold red", end=" ")
    stderr.print(message, markup=False)
    raise typer.Exit(code)


@asynccontextmanager
async def connected(settings: Settings | None = None) -> AsyncIterator[tuple[Connection, DagRunClient]]:
    """A connection for commands that read or act on runs."""
    async with connect(settings or load_settings(), report=report) as connection:
        yield connection, DagRunClient(connection.client)
