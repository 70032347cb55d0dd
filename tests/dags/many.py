"""DAGs whose results depend on a number in their run's conf."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task


def a_dag(function):
    return dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=100)(function)


@task
def number(dag_run=None):
    return dag_run.conf["number"]


@a_dag
def echoes():
    @task
    def double(value):
        return value * 2

    @task
    def last(value, doubled):
        return [value, doubled]

    value = number()
    last(value, double(value))


@a_dag
def fails_on_odd():
    @task
    def check(value):
        if value % 2:
            raise ValueError(value)

    check(number())


@a_dag
def maps_over_number():
    @task
    def values(dag_run=None):
        return list(range(dag_run.conf["number"] % 4 + 1))

    @task
    def same(value):
        return value

    @task
    def total(all_values, dag_run=None):
        return sum(all_values) + dag_run.conf["number"]

    total(same.expand(value=values()))


echoes()
fails_on_odd()
maps_over_number()
