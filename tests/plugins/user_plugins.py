"""Plugins of a user: a weight rule, a timetable, a listener of task instances. Each leaves the pid it ran in."""

from __future__ import annotations

import os

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from airflow.task.priority_strategy import PriorityWeightStrategy
from airflow.timetables.base import DataInterval, Timetable


def leave_pid(who: str) -> None:
    if path := os.environ.get("USER_CODE_NOTES"):
        with open(path, "a") as notes:
            notes.write(f"{who} {os.getpid()}\n")


class HeaviestFirst(PriorityWeightStrategy):
    def get_weight(self, ti):
        leave_pid("weight_rule")
        return ti.task.priority_weight * 10


class EveryFullMoon(Timetable):
    def infer_manual_data_interval(self, *, run_after):
        leave_pid("timetable")
        return DataInterval(start=run_after.subtract(days=29), end=run_after)

    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        return None


class TaskListener:
    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        leave_pid("listener")


class UserPlugin(AirflowPlugin):
    name = "user_plugin"
    priority_weight_strategies = [HeaviestFirst]
    timetables = [EveryFullMoon]
    listeners = [TaskListener()]
