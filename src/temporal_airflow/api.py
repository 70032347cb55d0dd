"""The Python API: run a DAG to its end from a program, with everything in place as ``temporal-airflow run`` has it.

It must not print; progress goes to this module's logger.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporal_airflow.engine.airflow_library import use_as_library
from temporal_airflow.exceptions import InputError
from temporal_airflow.tasks.environment import TASK_PROCESS

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow.utils.state import DagRunState, TaskInstanceState

    from temporal_airflow.in_place import InPlace
    from temporal_airflow.models import DagExecutionResult, LoadedDag, TaskInstanceRecord
    from temporal_airflow.scripted_answers import Answers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DagRunResult:
    """How a run ended.

    Attributes:
        execution: the workflow's result, with every task instance and XCom.
    """

    dag_id: str
    run_id: str
    workflow_id: str
    execution: DagExecutionResult

    @property
    def state(self) -> DagRunState:
        """The run's state, in Airflow's words."""
        return self.execution.state

    @property
    def task_instances(self) -> tuple[TaskInstanceRecord, ...]:
        """All task instances, by task id and map index."""
        return self.execution.snapshot.task_instances

    def task_state(self, task_id: str, map_index: int = -1) -> TaskInstanceState | None:
        """The state of one task instance.

        Raises:
            KeyError: if the run has no such task instance.
        """
        for ti in self.task_instances:
            if (ti.task_id, ti.map_index) == (task_id, map_index):
                return ti.state
        raise KeyError(f"{task_id}[{map_index}]")

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """An XCom as JSON value (what Airflow's serialization made of it).

        Raises:
            KeyError: if the task instance pushed no such key.
        """
        from temporal_airflow.tasks.xcom_values import read_value

        for record in self.execution.xcoms:
            if (record.task_id, record.key, record.map_index) == (task_id, key, map_index):
                return read_value(record)
        raise KeyError(f"{task_id}[{map_index}] {key}")


def run_dag(
    dag_or_path: DAG | str | Path,
    *,
    conf: dict[str, Any] | None = None,
    logical_date: datetime | None = None,
    run_id: str | None = None,
    dag_id: str | None = None,
    ephemeral: bool = False,
    answers: Answers | None = None,
) -> DagRunResult:
    """Run a DAG to its end.

    Args:
        dag_or_path: a DAG (its file is what runs), or the path of a DAG file.
        conf: configuration of the run.
        logical_date: now, if not given.
        run_id: Airflow makes one, if not given.
        dag_id: which DAG, if the file holds several.
        ephemeral: use a private server that leaves nothing behind.
        answers: for tasks that ask people, by task id or ``task_id[map_index]``: an :class:`Answer`, or the option that
            is chosen. A task that asks and has none waits for somebody else.

    Raises:
        InputError: if the DAG can't be run; nothing was started.
        ServerError: if there is no Temporal server.
    """
    _refuse_in_task_process()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise InputError("run_dag() was called inside a running event loop; await run_dag_async() instead.")
    return asyncio.run(
        run_dag_async(
            dag_or_path,
            conf=conf,
            logical_date=logical_date,
            run_id=run_id,
            dag_id=dag_id,
            ephemeral=ephemeral,
            answers=answers,
        )
    )


async def run_dag_async(
    dag_or_path: DAG | str | Path,
    *,
    conf: dict[str, Any] | None = None,
    logical_date: datetime | None = None,
    run_id: str | None = None,
    dag_id: str | None = None,
    ephemeral: bool = False,
    answers: Answers | None = None,
) -> DagRunResult:
    """Run a DAG to its end; see :func:`run_dag`."""
    _refuse_in_task_process()
    use_as_library()
    from temporal_airflow.client import now
    from temporal_airflow.dag_loader import load_dag
    from temporal_airflow.in_place import dags_folder_of, open_in_place, task_processes
    from temporal_airflow.models import LoadDagInput
    from temporal_airflow.settings import load_settings

    path, dag_id = locate(dag_or_path, dag_id)
    request = LoadDagInput(
        path=str(path), dag_id=dag_id, run_id=run_id, logical_date=logical_date, conf=conf or {}, now=now()
    )
    folder = dags_folder_of(path)
    async with task_processes(folder) as template:
        loaded = await load_dag(template, request)
        async with open_in_place(template, folder, load_settings(), ephemeral=ephemeral, report=log.info) as place:
            result = await run_to_end(place, loaded, answers or {})
            return replace(result, execution=_with_all_values(result.execution)) if ephemeral else result


async def run_to_end(place: InPlace, loaded: LoadedDag, answers: Answers) -> DagRunResult:
    """Start and await one run, and the runs that its tasks start, on what is already in place.

    Raises:
        InputError: if the DAG has no task for an answer, or a task doesn't take the one for it.
    """
    from temporal_airflow.scripted_answers import answered_to_the_end, check_answers

    check_answers(answers, loaded)
    async with place.worker():
        workflow_id = await place.start(loaded)
        execution = await answered_to_the_end(place.client, workflow_id, answers)
        async for started in place.open_started_runs(workflow_id):
            log.info("Going on until run %s of DAG %s has ended, which a task started", started.run_id, started.dag_id)
            await place.client.end_of(started)
    return DagRunResult(loaded.run.dag_id, loaded.run.run_id, workflow_id, execution)


def _with_all_values(execution: DagExecutionResult) -> DagExecutionResult:
    """The result with large values in it: what an ephemeral run stored goes with it."""
    from temporal_airflow.models import XComValue
    from temporal_airflow.tasks.xcom_values import read_serialized

    xcoms = tuple(
        record.model_copy(update={"content": XComValue(value=read_serialized(record))}) if record.content else record
        for record in execution.xcoms
    )
    return execution.model_copy(update={"xcoms": xcoms})


def locate(dag_or_path: DAG | str | Path, dag_id: str | None) -> tuple[Path, str | None]:
    """The file and the id of a DAG.

    Raises:
        DagFileError: if there is no such file.
    """
    from temporal_airflow.tasks.dag_loading import checked_file

    if isinstance(dag_or_path, str | Path):
        return checked_file(Path(dag_or_path)), dag_id
    return checked_file(Path(dag_or_path.fileloc)), dag_or_path.dag_id


def _refuse_in_task_process() -> None:
    if os.environ.get(TASK_PROCESS):
        raise InputError(
            "run_dag() was called in a process that parses or runs a DAG file for temporal-airflow: it would start "
            "itself again without end. Call it under `if __name__ == '__main__':`."
        )
