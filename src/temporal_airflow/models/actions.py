"""What people do to a run while it lives or after it has ended: the argument and the answer of the update ``act``."""

from __future__ import annotations

from typing import Annotated, Literal

from airflow.utils.state import DagRunState, TaskInstanceState
from pydantic import Field

from temporal_airflow.models.base import CompactModel, WireModel

MOST_OF_A_NOTE = 1000
"""Characters of a note, as in Airflow's database."""


class ClearTasks(WireModel):
    """Let tasks run again.

    Attributes:
        task_ids: of which tasks; all of the run if there are none.
        map_indexes: only these of each of them.
        upstream: whether what they depend on is cleared, too.
        downstream: whether what depends on them is.
        only_failed: only those that have failed, or an upstream task of which has.
    """

    kind: Literal["clear"]
    task_ids: tuple[str, ...] = ()
    map_indexes: tuple[int, ...] = ()
    upstream: bool = False
    downstream: bool = False
    only_failed: bool = False


class MarkTask(WireModel):
    """Give a task the state that it ends in; one that runs is stopped.

    Attributes:
        map_indexes: only these.
        upstream: whether what it depends on gets the state, too.
        downstream: whether what depends on it does.
    """

    kind: Literal["mark_task"]
    task_id: str
    state: TaskInstanceState
    map_indexes: tuple[int, ...] = ()
    upstream: bool = False
    downstream: bool = False


class MarkRun(WireModel):
    """Give the run its final state; what runs is stopped, what waits is skipped, teardowns run."""

    kind: Literal["mark_run"]
    state: DagRunState


class WriteNote(WireModel):
    """Write a note on the run, or on a task instance.

    Attributes:
        text: empty to take the note away.
    """

    kind: Literal["note"]
    text: str
    task_id: str | None = None
    map_index: int = -1


class SetPaused(WireModel):
    """Start no more tasks of the run, or go on: its DAG has been paused, or isn't any more."""

    kind: Literal["pause"]
    paused: bool


UserAction = Annotated[ClearTasks | MarkTask | MarkRun | WriteNote | SetPaused, Field(discriminator="kind")]


class RunAction(WireModel):
    """Somebody does something to a run.

    Attributes:
        user: who does it.
    """

    action: UserAction
    user: str


class ActedOn(CompactModel):
    """A task instance that an action was about, with the state it had before."""

    task_id: str
    map_index: int = -1
    state: TaskInstanceState | None = None


class ActionAnswer(WireModel):
    """What was done, or would be.

    Attributes:
        task_instances: by task id and map index.
        state: of the run now.
    """

    task_instances: tuple[ActedOn, ...] = ()
    state: DagRunState
