"""``temporal-airflow pools``: the commands of ``airflow pools``, with their arguments, formats and messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from temporal_airflow.capacity.pool_client import PoolClient, checked
from temporal_airflow.capacity.pool_worker import serving_pools
from temporal_airflow.cli.console import connected, execute
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.models import PoolDefinition


class Output(StrEnum):
    """How pools are printed: what Airflow offers."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    PLAIN = "plain"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Print a table, JSON, YAML or plain text.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Pool name.")]
File = Annotated[Path, typer.Argument(metavar="FILEPATH", help="JSON file, in the format of `airflow pools export`.")]

app = typer.Typer(
    help="Pools: how much of what runs at once, across all runs of the namespace.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_pools(output: OutputOption = Output.TABLE) -> None:
    """List pools."""
    execute(_list(output))


@app.command("get")
def get(pool: Name, output: OutputOption = Output.TABLE) -> None:
    """Get pool size."""
    execute(_get(pool, output))


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_pool(
    pool: Name,
    slots: Annotated[str, typer.Argument(metavar="SLOTS", help="Pool slots; -1 is without limit.")],
    description: Annotated[str, typer.Argument(metavar="DESCRIPTION", help="Pool description.")],
    include_deferred: Annotated[
        bool, typer.Option("--include-deferred", help="Include deferred tasks in calculations for Pool.")
    ] = False,
) -> None:
    """Configure pool: make it, or set it anew, at once for all runs. What a smaller one is used beyond drains.

    Example: temporal-airflow pools set warehouse 5 "Connections of the warehouse"
    """
    execute(_set(pool, slots, description, include_deferred=include_deferred))


@app.command("delete")
def delete(pool: Name) -> None:
    """Delete pool. Tasks that run in it go on; those that wait for it wait until there is one again."""
    execute(_delete(pool))


@app.command("import")
def import_pools(file: File) -> None:
    """Import pools."""
    execute(_import(file))


@app.command("export")
def export_pools(file: File) -> None:
    """Export all pools."""
    execute(_export(file))


async def _list(output: Output) -> ExitCode:
    async with connected() as (connection, _):
        _show(await PoolClient(connection.client).all(), output)
    return ExitCode.SUCCESS


async def _get(name: str, output: Output) -> ExitCode:
    async with connected() as (connection, _):
        _show([await PoolClient(connection.client).get(name)], output)
    return ExitCode.SUCCESS


async def _set(name: str, slots: str, description: str, *, include_deferred: bool) -> ExitCode:
    pool = checked(name, slots, description, include_deferred=include_deferred)
    async with connected() as (connection, _), serving_pools(connection.client) as pools:
        await pools.set(pool)
    typer.echo(f"Pool {name} created")
    return ExitCode.SUCCESS


async def _delete(name: str) -> ExitCode:
    async with connected() as (connection, _), serving_pools(connection.client) as pools:
        await pools.delete(name)
    typer.echo(f"Pool {name} deleted")
    return ExitCode.SUCCESS


async def _import(file: Path) -> ExitCode:
    found, failed = _read(file)
    async with connected() as (connection, _), serving_pools(connection.client) as pools:
        for pool in found:
            await pools.set(pool)
    if failed:
        raise InputError(f"Failed to update pool(s): {', '.join(failed)}")
    typer.echo(f"Uploaded {len(found)} pool(s)")
    return ExitCode.SUCCESS


async def _export(file: Path) -> ExitCode:
    async with connected() as (connection, _):
        pools = await PoolClient(connection.client).all()
    fields = ("slots", "description", "include_deferred")
    entries = {pool.name: {field: getattr(pool, field) for field in fields} for pool in pools}
    _write(file, json.dumps(entries, sort_keys=True, indent=4))
    typer.echo(f"Exported {len(pools)} pools to {file}")
    return ExitCode.SUCCESS


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The pools can't be written to {file}: {error.strerror}.") from error


def _read(file: Path) -> tuple[list[PoolDefinition], list[str]]:
    """The pools of a file, and the names of those that lack something.

    Raises:
        InputError: if it is no such file, or a value in it can't be used; then nothing is imported.
    """
    if not file.exists():
        raise InputError(f"Missing pools file {file}")
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"Invalid json file: {error}") from error
    if not isinstance(entries, dict):
        raise InputError(f"Invalid json file: {file} holds no object with a pool for each name")
    whole = {name: entry for name, entry in entries.items() if _is_whole(entry)}
    return [_pool(name, entry) for name, entry in whole.items()], [name for name in entries if name not in whole]


def _is_whole(entry: Any) -> bool:
    return isinstance(entry, dict) and "slots" in entry and "description" in entry


def _pool(name: str, entry: Mapping[str, Any]) -> PoolDefinition:
    if entry.get("team_name"):
        raise InputError("team_name cannot be set when multi_team mode is disabled. Please contact your administrator.")
    description = entry["description"] or ""
    return checked(name, entry["slots"], description, include_deferred=bool(entry.get("include_deferred", False)))


def _show(pools: Sequence[PoolDefinition], output: Output) -> None:
    """Print pools as Airflow does, by its own console."""
    from airflow.cli.simple_table import AirflowConsole

    rows = [
        {
            "pool": pool.name,
            "slots": pool.slots,
            "description": pool.description,
            "include_deferred": pool.include_deferred,
            "team_name": None,
        }
        for pool in pools
    ]
    AirflowConsole().print_as(data=rows, output=output.value)
