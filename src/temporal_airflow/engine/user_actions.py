"""What people do to a run: looked at before it is taken, done in a step, and answered with what was done.

Two people may act at once: what the second wants is looked at again once the first has had their way, so that both get
a definite answer. It must not know how an action arrives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import DagRunState, TaskInstanceState

from temporal_airflow import near_names
from temporal_airflow.engine import clearing, marking
from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.clearing import Clearing
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.open_run import OpenRun
from temporal_airflow.identifiers import task_label
from temporal_airflow.models import (
    MOST_OF_A_NOTE,
    ActedOn,
    ActionAnswer,
    ClearTasks,
    MarkRun,
    MarkTask,
    RunAction,
    SetPaused,
    UserAction,
    WriteNote,
)

TASK_STATES = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED, TaskInstanceState.SKIPPED)
"""States that a task can be marked with, as in Airflow's API."""

RUN_STATES = (DagRunState.SUCCESS, DagRunState.FAILED)


def problem(run: OpenRun, action: UserAction) -> str | None:
    """Why an action can't be taken; None if it can."""
    match action:
        case ClearTasks(task_ids=task_ids, map_indexes=indexes):
            return _absence(run, task_ids, indexes) or _why_not_cleared(run, action)
        case MarkTask(task_id=task_id, map_indexes=indexes):
            return (
                _unknown_state(action.state, TASK_STATES) or _absence(run, (task_id,), indexes) or _no_mark(run, action)
            )
        case MarkRun(state=state):
            return _unknown_state(state, RUN_STATES) or _already(run, state)
        case WriteNote(text=text, task_id=task_id, map_index=map_index):
            too_long = f"A note has at most {MOST_OF_A_NOTE:,} characters, not {len(text):,}."
            absence = _absence(run, (task_id,), (map_index,)) if task_id is not None else None
            return too_long if len(text) > MOST_OF_A_NOTE else absence
        case SetPaused():
            return None
        case _:
            assert_never(action)


def preview(run: OpenRun, action: UserAction) -> ActionAnswer:
    """What an action would do, if it can be taken."""
    return _answer(run, _about(run, action))


def take(run: OpenRun, wanted: RunAction) -> tuple[ActionAnswer, Clearing]:
    """Do what somebody wants, if it can be done.

    Returns:
        The task instances with the states that they had before, and what is to be cleared before that is told.
    """
    action = wanted.action
    about = _about(run, action)
    cleared: list[TaskInstance] = []
    match action:
        case ClearTasks():
            cleared = [run.instances[TaskKey(each.task_id, each.map_index)] for each in about]
        case MarkTask():
            cleared = marking.mark(run, action)
        case MarkRun(state=state):
            marking.end(run, state, f"marked {state.value} by {wanted.user}")
        case WriteNote():
            _write_note(run, action, wanted.user)
        case SetPaused(paused=paused):
            run.pause(paused=paused)
        case _:
            assert_never(action)
    return _answer(run, about), Clearing(run, cleared)


def _about(run: OpenRun, action: UserAction) -> list[ActedOn]:
    match action:
        case ClearTasks():
            return _as_they_are(clearing.selected(run, action))
        case MarkTask():
            return _as_they_are(marking.selected(run, action))
        case MarkRun():
            return _as_they_are(marking.unfinished(run))
        case WriteNote(task_id=task_id):
            return _as_they_are([] if task_id is None else [run.instances[TaskKey(task_id, action.map_index)]])
        case SetPaused():
            return []
        case _:
            assert_never(action)


def _write_note(run: OpenRun, note: WriteNote, user: str) -> None:
    if note.task_id is not None:
        run.history_of(TaskKey(note.task_id, note.map_index)).note = note.text or None
    else:
        run.write_note(note.text, user)


def _as_they_are(task_instances: Iterable[TaskInstance]) -> list[ActedOn]:
    return [ActedOn(task_id=ti.task_id, map_index=ti.map_index, state=ti.state) for ti in task_instances]


def _answer(run: OpenRun, about: list[ActedOn]) -> ActionAnswer:
    return ActionAnswer(task_instances=tuple(about), state=run.dag_run.state)


def _absence(run: OpenRun, task_ids: Iterable[str], map_indexes: Iterable[int]) -> str | None:
    """Why one of these can't be meant, of the tasks that the run's DAG has and the map indexes that there are."""
    run_id, known = run.dag_run.run_id, [key_of(ti) for ti in run.instances]
    for task_id in task_ids:
        if absence := near_names.absent_task(run_id, run.dag.task_dict, task_id):
            return absence
        for index in map_indexes:
            if absence := near_names.absent_task_instance(run_id, known, task_id, index):
                return absence
    return None


def _why_not_cleared(run: OpenRun, action: ClearTasks) -> str | None:
    for task_id in action.task_ids:
        for index in action.map_indexes:
            if run.instances[TaskKey(task_id, index)].state == TaskInstanceState.REMOVED:
                return (
                    f"Task {task_label(task_id, index)!r} was removed: what it maps over has become shorter. Clear the "
                    "task that it maps over instead."
                )
    if clearing.selected(run, action):
        return None
    failed = "has failed" if action.only_failed else "is there"
    return f"There is nothing to clear: no such task instance of run {run.dag_run.run_id!r} {failed}."


def _no_mark(run: OpenRun, action: MarkTask) -> str | None:
    if marking.selected(run, action):
        return None
    return f"Task {action.task_id!r} is already in state {action.state.value!r}."


def _already(run: OpenRun, state: DagRunState) -> str | None:
    same = run.dag_run.state == state
    return f"Run {run.dag_run.run_id!r} is already in state {state.value!r}." if same else None


def _unknown_state(state: str, known: tuple[TaskInstanceState, ...] | tuple[DagRunState, ...]) -> str | None:
    names = [each.value for each in known]
    return None if state in known else near_names.absence("Nothing can be marked", str(state), names, "states are")
