"""How commands do something to a run, and tell what was done."""

from __future__ import annotations

from collections.abc import Iterable

from temporal_airflow.cli.console import connected, print_json, report
from temporal_airflow.cli.options import Output
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.identifiers import task_label
from temporal_airflow.models import ActedOn, ActionAnswer, UserAction

MOST_NAMED = 20
"""Task instances that are named where people read."""


async def act(
    run: str, action: UserAction, done: str, *, user: str | None, dry_run: bool = False, output: Output = Output.TABLE
) -> ExitCode:
    """Do something to a run.

    Args:
        run: as the user names it.
        action: what to do.
        done: what was done to the task instances: ``Cleared``.
        user: who does it; the user of this command otherwise.
        dry_run: whether only to say what would be done.
        output: how.
    """
    async with connected() as (_, client):
        workflow_id = await client.find(run)
        if dry_run:
            answer = await client.preview(workflow_id, action)
        else:
            answer = await client.act(workflow_id, action, user=user)
    if output == Output.JSON:
        print_json(answer.model_dump(mode="json"))
    else:
        report(_told(run, answer, f"Would be {done.lower()}" if dry_run else done, told_state=not dry_run))
    return ExitCode.SUCCESS


def _told(run: str, answer: ActionAnswer, done: str, *, told_state: bool) -> str:
    what = _names(answer.task_instances) or "no task"
    return f"{done}: {what}." + (f" Run {run} is {answer.state.value}." if told_state else "")


def _names(task_instances: Iterable[ActedOn]) -> str:
    names = [
        f"{task_label(ti.task_id, ti.map_index)} ({ti.state.value if ti.state else 'no state yet'})"
        for ti in task_instances
    ]
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
