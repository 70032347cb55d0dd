# mypy: ignore-errors
"""Cluster policies: they change the DAG that names them, and drop one that is unwanted."""

from __future__ import annotations

from datetime import timedelta

from airflow.exceptions import AirflowClusterPolicySkipDag

OBEDIENT = "obeys_policies"


def dag_policy(dag):
    if dag.dag_id == "is_unwanted":
        raise AirflowClusterPolicySkipDag("no such DAG here")
    if dag.dag_id == OBEDIENT:
        dag.tags.add("by policy")
        dag.fail_fast = False
        dag.params["by_policy"] = 1
        dag.user_defined_macros = {"by_policy": "a macro"}


def task_policy(task):
    if task.dag_id != OBEDIENT:
        return
    if task.task_id == "is_retried":
        task.retries = 1
        task.retry_delay = timedelta(seconds=3)
    if task.task_id == "is_stopped":
        task.execution_timeout = timedelta(seconds=1)
    if task.task_id == "runs_anyway":
        task.trigger_rule = "all_done"
    if task.task_id == "is_told":
        task.op_kwargs["told"] = "{{ params.by_policy }} {{ by_policy }}"
    if task.task_id == "calls_back":
        task.on_success_callback = [_called]


def _called(context):
    context["ti"].xcom_push(key="by_policy", value="called")


def get_airflow_context_vars(context):
    if context["dag"].dag_id == OBEDIENT:
        return {"AIRFLOW_BY_POLICY": f"of {context['ti'].task_id}"}
    return {}
