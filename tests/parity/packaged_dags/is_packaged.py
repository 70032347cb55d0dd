# mypy: ignore-errors
# ruff: noqa: DTZ001
"""The DAG file of ``second_bundle/packaged.zip``, made by ``tests.parity.package``."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task
from within_package import NAME


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def is_packaged():
    @task
    def where(dag=None):
        return [NAME, __file__, dag.relative_fileloc]

    where()


is_packaged()
