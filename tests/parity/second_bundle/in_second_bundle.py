# mypy: ignore-errors
# ruff: noqa: DTZ001
"""A DAG of another bundle, with a module of its own; Airflow must not look at what ``.airflowignore`` names."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task
from lib import its_own_module


def a_dag(**arguments):
    return dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False, **arguments)


@a_dag()
def is_in_second_bundle():
    @task
    def where(ti=None):
        from lib.its_own_module import NAME

        return [NAME, its_own_module.relative_file(__file__), ti.bundle_instance.name, ti.bundle_instance.version]

    where()
    BashOperator(task_id="script", bash_command="lib/script.sh")


@a_dag()
def is_unwanted():
    """Dropped by a policy."""


is_in_second_bundle()
is_unwanted()
