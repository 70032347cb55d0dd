"""``temporal-airflow note``: write a note on a run or a task."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.acting import act
from temporal_airflow.cli.console import execute, fail
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.models import WriteNote

MOST_WORDS = 2


def note(
    run: options.Run,
    words: Annotated[
        list[str], typer.Argument(metavar="[TASK] TEXT", help="The note, behind the task that it is about, if any.")
    ],
    map_index: options.MapIndex = -1,
    user: options.User = None,
    output: options.OutputOption = options.Output.TABLE,
) -> None:
    """Write a note on a run, or on one of its tasks; an empty text takes it away. `status` shows notes.

    Example: temporal-airflow note my_dag/manual__1 load "The file came late."
    """
    if len(words) > MOST_WORDS:
        fail("A note is one text: put it in quotes.", ExitCode.BAD_INPUT)
    *task, text = words
    action = WriteNote(kind="note", text=text, task_id=task[0] if task else None, map_index=map_index)
    execute(act(run, action, "Noted", user=user, output=output))
