"""``temporal-airflow list``: the runs a server knows, latest first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from airflow.utils.state import DagRunState
from rich.table import Table

from temporal_airflow import client as clients
from temporal_airflow import near_names
from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, print_json, report, stdout, warn
from temporal_airflow.client import DagRunClient
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.run_list import MOST_CONSIDERED, ListedRun, RunList

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DURATION = re.compile(rf"(\d+(?:\.\d+)?)([{''.join(UNITS)}])")


def list_runs(
    dag_id: Annotated[str | None, typer.Option(help="Only runs of this DAG.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only runs in this state (queued, running, success, failed); may be repeated."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="T", help="Only runs started since: 90m, 2h, 7d ago, or a moment in ISO 8601 (UTC)."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    output: options.OutputOption = options.Output.TABLE,
) -> None:
    """List runs, open and closed, latest start first.

    Example: temporal-airflow list --state failed --since 7d
    """
    execute(_list_runs(dag_id, tuple(state or ()), since, limit, output))


async def _list_runs(
    dag_id: str | None, states: tuple[str, ...], since: str | None, limit: int, output: options.Output
) -> ExitCode:
    wanted = frozenset(map(read_state, states))
    start = read_since(since, clients.now())
    async with connected() as (_, client):
        listing = await client.list_runs(dag_id=dag_id, states=wanted, since=start, limit=limit)
        unknown = await _unknown_dag(client, dag_id) if dag_id and not listing.runs else None
    if output == options.Output.JSON:
        print_json([asdict(run) for run in listing.runs])
    else:
        stdout.print(_table(listing.runs) if listing.runs else "No runs.")
    if unknown:
        report(unknown)
    _say_what_is_left_out(listing, limit)
    return ExitCode.SUCCESS


def read_state(text: str) -> DagRunState:
    """Read a state of runs, in Airflow's words.

    Raises:
        InputError: if Airflow has no such state.
    """
    known = [state.value for state in DagRunState]
    if text not in known:
        raise InputError(near_names.absence("Runs have no state", text, known))
    return DagRunState(text)


def read_since(text: str | None, now: datetime) -> datetime | None:
    """Read ``--since``.

    Args:
        text: a duration such as ``2h``, or a moment; without a zone it is in UTC.
        now: from when a duration counts back.

    Raises:
        InputError: if it is neither.
    """
    if text is None:
        return None
    try:
        if duration := DURATION.fullmatch(text.strip()):
            return now - timedelta(**{UNITS[duration[2]]: float(duration[1])})
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"--since {text!r} is neither a duration nor a moment; write it like 90m, 2h, 7d or "
            "2026-01-31T06:00:00+00:00."
        ) from error


async def _unknown_dag(client: DagRunClient, dag_id: str) -> str | None:
    """A word on a DAG of which there are no runs at all; None if there are."""
    known = {dag_id for dag_id, _ in await client.known_runs()}
    return near_names.absence("There are no runs of a DAG", dag_id, known) if dag_id not in known else None


def _say_what_is_left_out(listing: RunList, limit: int) -> None:
    if listing.more:
        report(f"There are more runs than these {limit}; --limit shows more of them.")
    if listing.overlooked:
        warn(
            f"There are many runs: only {MOST_CONSIDERED} were considered, the open ones and those that ended last. "
            "Narrow them down with --dag-id, --state or --since."
        )


def _table(runs: Iterable[ListedRun]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("dag_id", "run_id", "state", "start", "duration"):
        table.add_column(column, overflow="fold")
    for run in runs:
        took = f"{(run.end_date - run.start_date).total_seconds():.1f} s" if run.end_date else ""
        state = f"{run.state.value} ({run.reason})" if run.reason else run.state.value
        table.add_row(run.dag_id, run.run_id, state, f"{run.start_date.astimezone():%Y-%m-%d %H:%M:%S}", took)
    return table
