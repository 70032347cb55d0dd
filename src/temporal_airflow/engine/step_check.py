"""Looks at a run the way Airflow's scheduler does, all of it, and finds nothing: else something was overlooked.

It costs as much as Airflow's own scheduling, so it is for tests and for the search of a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.ti_deps.dependencies_states import SCHEDULEABLE_STATES
from airflow.utils.state import State
from sqlalchemy import select

from temporal_airflow.engine.open_run import OpenRun

LOOKED_AT = (TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.try_number)


class OverlookedError(Exception):
    """Airflow would have decided something that the step has left undecided: always a defect of this package."""


def check(run: OpenRun) -> None:
    """Let Airflow evaluate every task instance that a finished step has left undecided.

    Raises:
        OverlookedError: if that changes or readies anything.
    """
    if run.ended or run.queued or run.paused or run.past_runs.undecided:
        return
    before = _rows(run)
    undecided = [ti for ti in run.instances if ti.state in SCHEDULEABLE_STATES]
    finished = [ti for ti in run.instances if ti.state in State.finished]
    ready, _, _ = run.dag_run._get_ready_tis(undecided, finished, run.session)
    run.session.flush()
    found = [f"{ti.task_id}[{ti.map_index}] is ready" for ti in ready]
    found += [f"{row} is another" for row in sorted(map(str, set(before) ^ set(_rows(run))))]
    if found:
        raise OverlookedError(f"Run {run.dag_run.run_id}, a step has overlooked: {'; '.join(found[:20])}")


def _rows(run: OpenRun) -> Sequence[Any]:
    return run.session.execute(select(*LOOKED_AT).where(TaskInstance.run_id == run.dag_run.run_id)).all()
