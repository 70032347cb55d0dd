"""A task that asks for a form, and one that asks for approval."""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLEntryOperator
from airflow.sdk import DAG, Param, task

with DAG("approval"):

    @task
    def ship():
        print("shipped")

    count = HITLEntryOperator(
        task_id="count", subject="How many?", params={"pieces": Param(1, type="integer", description="to ship")}
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Ship the order?",
        body="Nobody can call it back.",
        assigned_users=[{"id": "7", "name": "ann"}],
    )
    count >> approve >> ship()
