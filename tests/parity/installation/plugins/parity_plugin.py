# mypy: ignore-errors
"""A plugin with one of everything that takes part in a run; what it notes goes to the run's scratch folder."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink
from airflow.task.priority_strategy import PriorityWeightStrategy
from airflow.timetables.base import DataInterval, Timetable

try:
    from airflow.sdk.listener import hookimpl
except ImportError:
    from airflow.listeners import hookimpl

DATE_OF_EVERYTHING = datetime(2024, 1, 1, tzinfo=UTC)
LISTENED_TO = "is_listened_to"


def shout(text):
    return text.upper() + "!"


class LongestFirst(PriorityWeightStrategy):
    def get_weight(self, ti):
        return len(ti.task_id)


class Fortnight(Timetable):
    description = "two weeks before"

    def __init__(self, days: int = 14):
        self.days = days

    def serialize(self):
        return {"days": self.days}

    @classmethod
    def deserialize(cls, data):
        return cls(data["days"])

    def infer_manual_data_interval(self, *, run_after):
        return DataInterval(start=run_after.subtract(days=self.days), end=run_after)

    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        return None


class GlobalLink(BaseOperatorLink):
    name = "everywhere"

    def get_link(self, operator, *, ti_key):
        return f"https://example.org/{operator.task_id}/{ti_key.map_index}"


class LinkOfBash(BaseOperatorLink):
    name = "of bash"

    @property
    def operators(self):
        from airflow.providers.standard.operators.bash import BashOperator

        return [BashOperator]

    def get_link(self, operator, *, ti_key):
        return f"https://example.org/bash?{ti_key.run_id}"


class Listens:
    """Leaves what it is told of the one DAG it listens to."""

    told: ClassVar[list[str]] = []

    @hookimpl
    def on_starting(self, component):
        self.told[:] = [f"starting {type(component).__name__}"]  # a process of ours may run tasks one after the other

    @hookimpl
    def before_stopping(self, component):
        if len(self.told) > 1:
            _write("listened", f"{self.told} stopping {type(component).__name__}")

    @hookimpl
    def on_task_instance_running(self, previous_state, task_instance):
        _note(task_instance, "running", previous_state)

    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        _note(task_instance, "success", previous_state)

    @hookimpl
    def on_task_instance_failed(self, previous_state, task_instance, error):
        _note(task_instance, "failed", previous_state, f" {type(error).__name__}: {error}")

    @hookimpl
    def on_task_instance_skipped(self, previous_state, task_instance):
        _note(task_instance, "skipped", previous_state)


class EmitsLineage:
    """As OpenLineage does: looks at the task's context, and emits from a fork that is waited for."""

    @hookimpl
    def on_task_instance_running(self, previous_state, task_instance):
        self._emit("start", task_instance)

    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        self._emit("complete", task_instance)

    @hookimpl
    def on_task_instance_failed(self, previous_state, task_instance, error):
        self._emit("fail", task_instance)

    def _emit(self, event, ti):
        if ti.dag_id != LISTENED_TO:
            return
        context = ti.get_template_context()
        facts = (
            event, ti.task_id, ti.map_index, ti.try_number, context["dag_run"].run_type, context["dag"].dag_id,
            context["task"].task_type, context["logical_date"].isoformat(), len(context["params"]),
        )  # fmt: skip
        pid = os.fork()
        if pid == 0:
            _write("lineage", " ".join(str(fact) for fact in facts))
            os._exit(0)
        os.waitpid(pid, 0)


class Breaks:
    """What a listener raises is logged and harms nothing."""

    @hookimpl
    def on_task_instance_running(self, previous_state, task_instance):
        if task_instance.dag_id == LISTENED_TO:
            raise ValueError("a broken listener")


def _note(ti, event, previous_state, more=""):
    if ti.dag_id == LISTENED_TO:
        Listens.told.append(f"{event} {ti.task_id}")
        _write(
            "listened",
            f"{event} {ti.task_id}[{ti.map_index}] try {ti.try_number} state {ti.state} before {previous_state} "
            f"max {ti.max_tries}{more}",
        )


def _folder() -> Path:
    return Path(os.environ["AIRFLOW_HOME"]) / "scratch" / LISTENED_TO


def _write(name, line):
    with (_folder() / name).open("a") as notes:
        notes.write(f"{line}\n")


class ParityPlugin(AirflowPlugin):
    name = "parity_plugin"
    macros: ClassVar = [shout]
    timetables: ClassVar = [Fortnight]
    priority_weight_strategies: ClassVar = [LongestFirst]
    global_operator_extra_links: ClassVar = [GlobalLink()]
    operator_extra_links: ClassVar = [LinkOfBash()]
    listeners: ClassVar = [Listens(), EmitsLineage(), Breaks()]
