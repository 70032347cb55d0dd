"""``temporal-airflow mark``: give a task, or a run, the state that it ends in."""

from __future__ import annotations

from typing import Annotated, TypeVar

import typer
from airflow.utils.state import DagRunState, TaskInstanceState

from temporal_airflow import near_names
from temporal_airflow.cli import options
from temporal_airflow.cli.acting import act
from temporal_airflow.cli.console import execute, fail
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.models import MarkRun, MarkTask, UserAction

TASK_STATES = {
    state.value: state for state in (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED, TaskInstanceState.SKIPPED)
}
RUN_STATES = {state.value: state for state in (DagRunState.SUCCESS, DagRunState.FAILED)}

State = TypeVar("State")


def mark(  # noqa: PLR0917  # Typer reads the command's options from here
    run: options.Run,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Task id; the run itself otherwise.")] = None,
    state: Annotated[
        str, typer.Option(metavar="STATE", help="success, failed, or for a task skipped.", show_default=False)
    ] = "",
    upstream: options.Upstream = False,
    downstream: options.Downstream = False,
    map_index: options.MapIndexes = None,
    dry_run: options.DryRun = False,
    user: options.User = None,
    output: options.OutputOption = options.Output.TABLE,
) -> None:
    """Mark a task or a run: it gets the state at once, what runs is stopped (on_kill) and its result ignored.

    What has failed below a marked task runs again, and so an ended run goes on. Marking a run skips what waits;
    teardowns still run.

    Example: temporal-airflow mark my_dag/manual__1 load --state success
    """
    try:
        action = _action(task, state, upstream, downstream, map_index)
    except InputError as error:
        fail(str(error), ExitCode.BAD_INPUT)
    execute(act(run, action, f"Marked {state}", user=user, dry_run=dry_run, output=output))


def _action(task: str | None, state: str, upstream: bool, downstream: bool, map_index: list[int] | None) -> UserAction:
    if task is not None:
        return MarkTask(
            kind="mark_task",
            task_id=task,
            state=_known(state, TASK_STATES, "a task"),
            upstream=upstream,
            downstream=downstream,
            map_indexes=tuple(map_index or ()),
        )
    if upstream or downstream or map_index:
        raise InputError("--upstream, --downstream and --map-index are about a task: name one.")
    return MarkRun(kind="mark_run", state=_known(state, RUN_STATES, "a run"))


def _known(state: str, states: dict[str, State], of_what: str) -> State:
    if not state:
        raise InputError(f"Say which state (--state): {near_names.listed(states)}.")
    if state not in states:
        raise InputError(near_names.absence("There is no state", state, states, f"{of_what} can be marked"))
    return states[state]
