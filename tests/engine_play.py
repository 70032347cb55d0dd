"""The engine played without a workflow: no server, no worker, no process; time is what the test says."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.state import TaskInstanceState
from airflow.utils.types import DagRunType

from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import ActionTaken, AnswerAction, Command, StartTask, StepAgain, TaskEnded, TaskKey
from temporal_airflow.models import (
    ActionAnswer,
    BundleReference,
    DagDefinition,
    DagExecutionInput,
    DagRunIdentity,
    FileAssets,
    RunAction,
    RunLimits,
    TaskExecutionResult,
    UserAction,
)

import_scheduling_code()
START = datetime(2026, 5, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Play:
    """Plays the workflow's part: keeps the clock, sends events, remembers what was commanded."""

    def __init__(
        self,
        dag: DAG,
        given: dict[str, Any] | None = None,
        logical_date: datetime | None = START,
        run_after: datetime = START,
        assets: FileAssets | None = None,
        **limits: Any,
    ) -> None:
        """Open a run.

        Args:
            dag: to run.
            given: further fields of the run's input.
            logical_date: of the run.
            run_after: of the run.
            assets: of the DAG's file.
            limits: of the run.
        """
        self.now = START
        definition = DagDefinition(
            dag_id=dag.dag_id,
            bundle=BundleReference(name="dags-folder", relative_fileloc="dag.py"),
            compressed_dag=zlib.compress(json.dumps(DagSerialization.to_dict(dag)).encode()),
            task_count=len(dag.tasks),
            assets=assets,
        )
        run = DagRunIdentity(
            dag_id=dag.dag_id,
            run_id="run",
            run_type=DagRunType.MANUAL,
            logical_date=logical_date,
            data_interval_start=logical_date,
            data_interval_end=logical_date,
            run_after=run_after,
        )
        self.execution = DagExecutionInput(
            engine_epoch=1,
            airflow_version="3.3.2",
            definition=definition,
            run=run,
            task_queue="queue",
            limits=RunLimits(**{"check_steps": True, **limits}),
            **(given or {}),
        )
        self.engine = DagRunEngine.open(self.execution, self.now)
        self.commands: list[Command] = []
        self.step()

    def step(self, *events: Any, after: timedelta = SECOND) -> list[Command]:
        self.now += after
        self.commands = self.engine.step(self.now, events)
        return self.commands

    def until_settled(self) -> list[Command]:
        """Go on until no step has left anything for another one.

        Returns:
            All that was commanded meanwhile.
        """
        commanded: list[Command] = []
        while StepAgain() in self.commands:
            commanded += self.step()
        return commanded

    def act(self, action: UserAction, user: str = "ann") -> ActionAnswer | str:
        """What the run answers to an action, once it has taken it in a step."""
        self.step(ActionTaken(1, RunAction(action=action, user=user)))
        commands = self.commands + self.until_settled()
        [answer] = [command.answer for command in commands if isinstance(command, AnswerAction)]
        return answer

    @property
    def started(self) -> list[str]:
        return [command.key.task_id for command in self.commands if isinstance(command, StartTask)]

    @property
    def states(self) -> dict[str, str | None]:
        return {
            f"{ti.task_id}{'' if ti.map_index < 0 else ti.map_index}": ti.state.value if ti.state else None
            for ti in self.engine.record.task_instances
        }

    def ended(
        self, task_id: str, state: str = "success", try_number: int = 1, map_index: int = -1, **fields: Any
    ) -> TaskEnded:
        result = TaskExecutionResult(state=TaskInstanceState(state), start_date=self.now, end_date=self.now, **fields)
        return TaskEnded(TaskKey(task_id, map_index), try_number, result)
