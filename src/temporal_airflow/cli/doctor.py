"""``temporal-airflow doctor``: what this installation consists of, what is wrong with it and how to mend it."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.text import Text

from temporal_airflow import search_attributes
from temporal_airflow.cli.console import execute, report, stdout
from temporal_airflow.connection import Connection, configured_address, connect
from temporal_airflow.engine.airflow_library import airflow_version, import_scheduling_code
from temporal_airflow.exceptions import ExitCode, TemporalAirflowError
from temporal_airflow.identifiers import SEARCH_ATTRIBUTES
from temporal_airflow.settings import Settings, load_settings
from temporal_airflow.tasks.slots import ProcessTemplate

PACKAGES = ("temporal-airflow", "apache-airflow", "apache-airflow-task-sdk", "temporalio")


@dataclass(frozen=True)
class Check:
    """One thing to look at; ``look`` describes it, or raises what is wrong."""

    name: str
    look: Callable[[Settings], Awaitable[str]]


def doctor() -> None:
    """Check versions, Airflow's internals, folders, task processes and the Temporal server; exit code 1 if any fail."""
    execute(_doctor())


async def _doctor() -> ExitCode:
    settings = load_settings()
    broken = 0
    for check in CHECKS:
        try:
            finding = await check.look(settings)
        except (TemporalAirflowError, OSError) as error:
            broken += 1
            stdout.print(Text.assemble(("wrong ", "bold red"), f"{check.name}: {error}"))
        else:
            stdout.print(Text.assemble(("ok    ", "green"), f"{check.name}: {finding}"))
    return ExitCode.RUN_FAILED if broken else ExitCode.SUCCESS


async def _versions(_: Settings) -> str:
    airflow_version()
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} missing")
    return ", ".join(found)


async def _seams(_: Settings) -> str:
    import_scheduling_code()
    from temporal_airflow.engine.seams import ENGINE_SEAMS, TASK_SEAMS

    return f"all {len(ENGINE_SEAMS + TASK_SEAMS)} places where Airflow is redirected are where they should be"


async def _folders(settings: Settings) -> str:
    from temporal_airflow.tasks.logs import log_folder

    folders = {"data": settings.data_folder, "cache": settings.cache_folder, "task logs": log_folder()}
    for name, folder in folders.items():
        _check_writable(name, folder)
    return ", ".join(f"{name} in {folder}" for name, folder in folders.items())


def _check_writable(name: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TemporalAirflowError(f"the {name} folder {folder} can't be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise TemporalAirflowError(f"the {name} folder {folder} can't be written")


async def _task_processes(_: Settings) -> str:
    async with ProcessTemplate.start(os.environ) as template:
        await template.ready()
    return "Airflow initialises in a process of its own"


async def _server(settings: Settings) -> str:
    async with connect(settings, report=report) as connection:
        kind = "our own" if connection.embedded else "configured"
        return f"{kind}, answers at {connection.address}, namespace {connection.namespace}"


async def _search_attributes(settings: Settings) -> str:
    async with connect(settings, report=report) as connection:
        missing = await search_attributes.missing(connection.client)
    if not missing:
        return f"the namespace has {', '.join(SEARCH_ATTRIBUTES)}: `list` asks the server for states"
    if connection.embedded:
        return "the user's own have taken all places: `list` looks at runs one by one"
    return (
        f"the namespace has no {', '.join(missing)}: `list` looks at runs one by one. New runs have them once they are "
        f"created, with:\n  {_creation(missing, connection)}"
    )


def _creation(missing: Mapping[str, str], connection: Connection) -> str:
    attributes = " ".join(f"--name {name} --type {kind}" for name, kind in missing.items())
    where = f"--address {shlex.quote(connection.address)} --namespace {shlex.quote(connection.namespace)}"
    return f"temporal operator search-attribute create {where} {attributes}"


async def _how_server_is_chosen(settings: Settings) -> str:
    address = configured_address(settings)
    if address:
        return f"configured address {address}"
    return f"no address configured: a server of our own, database in {settings.data_folder}"


CHECKS = (
    Check("versions", _versions),
    Check("Airflow's internals", _seams),
    Check("folders", _folders),
    Check("task processes", _task_processes),
    Check("choice of server", _how_server_is_chosen),
    Check("Temporal server", _server),
    Check("search attributes", _search_attributes),
)
