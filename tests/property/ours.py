"""Our side: the engine by itself, told by events what the other side is told by Airflow's handlers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.types import DagRunType

from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    AttemptLost,
    Command,
    Event,
    StartTask,
    StepAgain,
    TaskEnded,
    TaskKey,
    TriggerEnded,
    WakeAt,
)
from temporal_airflow.models import (
    BundleReference,
    DagDefinition,
    DagExecutionInput,
    DagRunIdentity,
    Deferral,
    RunLimits,
    RunSnapshot,
    TaskExecutionResult,
    TriggerResult,
    XComRecord,
    XComValue,
)
from temporal_airflow.tasks.slim_dag import reduce_to_structure

from .messages import AttemptEnded, Key, Report, Row, Standing, Started, WaitEnded, WorkerLost

MAX_LOST_ATTEMPTS = 2
TICK = timedelta(milliseconds=1)
"""What the engine adds to a moment at which something is due."""


class Ours:
    """One run of ours."""

    def __init__(self, serialized: dict[str, Any], start: datetime, step_work: int) -> None:
        slim = reduce_to_structure(serialized, DagSerialization.from_dict(serialized))
        self._execution = _execution(slim, start, step_work)
        self._engine = DagRunEngine.open(self._execution, start)
        self._start = start

    def step(self, now: datetime, reports: Iterable[Report]) -> Standing:
        """Take reports and say how the run stands."""
        reports = list(reports)
        repeated = {report.key for report in reports if isinstance(report, WorkerLost)}
        commands = self._step(now, [_event(report, self._start) for report in reports])
        record = self._engine.record
        wakes = [command.moment - TICK for command in commands if isinstance(command, WakeAt)]
        return Standing(
            state=record.state.value,
            rows={
                Key(ti.task_id, ti.map_index): Row(ti.state.value if ti.state else None, ti.try_number, ti.max_tries)
                for ti in record.task_instances
            },
            started=_started(commands, repeated),
            wakes_at=min(wakes, default=None),
        )

    def _step(self, now: datetime, events: Sequence[Event]) -> list[Command]:
        """A step and all that it takes to end it, at the same moment."""
        commands: list[Command] = []
        while True:
            taken, events = events[: self._engine.most_events], events[self._engine.most_events :]
            step = self._engine.step(now, taken)
            commands += [command for command in step if command != StepAgain()]
            if not events and StepAgain() not in step:
                return commands

    def go_on_from_snapshot(self, now: datetime) -> None:
        """Let another engine take the place of this one, as a run does that continues as new."""
        snapshot = RunSnapshot.decompressed(self._engine.snapshot().compressed())
        self.dispose()
        self._engine = DagRunEngine.restore(self._execution, snapshot, now)

    def dispose(self) -> None:
        """Free the engine's database."""
        self._engine.dispose()


def _started(commands: Sequence[Command], repeated: Container[Key]) -> tuple[Started, ...]:
    """Attempts that began; a lost one's repetition is nothing that Airflow would know of."""
    return tuple(
        Started(
            Key(*command.key),
            command.attempt.try_number,
            command.attempt.max_tries,
            command.attempt.should_retry,
            command.attempt.task_reschedule_count,
            command.attempt.next_method,
            command.attempt.xcom_keys_to_clear,
        )
        for command in commands
        if isinstance(command, StartTask) and not (command.attempt.attempt > 1 and Key(*command.key) in repeated)
    )


def _event(report: Report, start: datetime) -> Event:
    key = TaskKey(*report.key)
    match report:
        case AttemptEnded():
            return TaskEnded(key, report.try_number, _result(report, start))
        case WaitEnded(state=None):
            resumed = TriggerResult(next_method="__fail__" if report.failed or report.timed_out else None)
            return TriggerEnded(key, report.try_number, resumed)
        case WaitEnded():
            return TriggerEnded(key, report.try_number, TriggerResult(end_state=report.state))
        case _:
            return AttemptLost(key, report.try_number, "lost")


def _result(report: AttemptEnded, start: datetime) -> TaskExecutionResult:
    cleared: dict[str, Any] = dict.fromkeys(report.cleared)
    contents = cleared | {key: XComValue(value=json.dumps(value)) for key, value in report.pushed.items()}
    deferral = None
    if report.state.value == "deferred":
        deferral = Deferral(classpath="a.Trigger", trigger_kwargs="{}", next_method="resume", timeout=report.timeout)
    return TaskExecutionResult(
        state=report.state,
        start_date=start,
        end_date=report.ended,
        xcoms=tuple(
            XComRecord(task_id=report.key.task_id, map_index=report.key.map_index, key=key, content=content)
            for key, content in contents.items()
        ),
        mapped_length=report.mapped_length,
        skipped_tasks=tuple((task, None) if isinstance(task, str) else task for task in report.skipped),
        reschedule_date=report.reschedule_date,
        deferral=deferral,
    )


def _execution(serialized: dict[str, Any], start: datetime, step_work: int) -> DagExecutionInput:
    dag_id = serialized["dag"]["dag_id"]
    return DagExecutionInput(
        engine_epoch=1,
        airflow_version="3.3.2",
        definition=DagDefinition(
            dag_id=dag_id,
            bundle=BundleReference(name="dags-folder", relative_fileloc="dag.py"),
            compressed_dag=zlib.compress(json.dumps(serialized).encode(), level=1),
            task_count=len(serialized["dag"]["tasks"]),
        ),
        run=DagRunIdentity(
            dag_id=dag_id,
            run_id="run",
            run_type=DagRunType.MANUAL,
            logical_date=start,
            data_interval_start=start,
            data_interval_end=start,
            run_after=start,
        ),
        task_queue="queue",
        limits=RunLimits(max_lost_attempts=MAX_LOST_ATTEMPTS, step_work=step_work),
    )
