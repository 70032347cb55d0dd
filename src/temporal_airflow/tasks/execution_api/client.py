"""Our side of Airflow's Execution API: what the supervisor takes for its HTTP client.

The supervisor reaches the API only through ``client.<namespace>.<call>``; this object offers the same namespaces,
answered from the task's input and, for what isn't there, by the worker. It must not know processes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from airflow.sdk.api.datamodels._generated import TIRunContext
from airflow.utils.state import DagRunState

from temporal_airflow.models import (
    CallbackInput,
    DagRunRecord,
    DeadlineCallbackInput,
    RunListenersInput,
    TaskExecutionInput,
    TriggerInput,
)
from temporal_airflow.tasks.channel import Asker, Channel
from temporal_airflow.tasks.execution_api.assets import AssetEventCalls, Assets, AssetStateStore
from temporal_airflow.tasks.execution_api.configuration import Connections, Variables
from temporal_airflow.tasks.execution_api.dag_runs import DagRuns, Dags
from temporal_airflow.tasks.execution_api.human_input import HumanInput, resumed_kwargs
from temporal_airflow.tasks.execution_api.kept_state import RunScope
from temporal_airflow.tasks.execution_api.run_queries import RunQueries, as_dag_run
from temporal_airflow.tasks.execution_api.task_life import TaskLife
from temporal_airflow.tasks.execution_api.task_questions import TaskQuestions
from temporal_airflow.tasks.execution_api.task_state_store import TaskStateStore
from temporal_airflow.tasks.execution_api.unsupported import Unsupported
from temporal_airflow.tasks.execution_api.xcoms import XComCalls
from temporal_airflow.tasks.try_record import TryRecord
from temporal_airflow.tasks.xcom import INLINE_VALUE_LIMIT, RunKey, XComs


@dataclass(frozen=True)
class TaskInstances:
    """Namespace ``task_instances``: the task's own life, and its questions about others."""

    life: TaskLife
    questions: TaskQuestions

    def __getattr__(self, call: str) -> Any:
        half = self.life if hasattr(TaskLife, call) else self.questions
        return getattr(half, call)


@dataclass(frozen=True)
class ExecutionApi:
    """The client, one for each attempt; the attributes are the namespaces."""

    task_instances: TaskInstances | TaskQuestions
    xcoms: XComCalls
    connections: Connections
    variables: Variables
    dag_runs: DagRuns
    dags: Dags
    assets: Assets
    asset_events: AssetEventCalls
    hitl: HumanInput
    task_state_store: TaskStateStore | Unsupported
    asset_state_store: AssetStateStore


def for_task(task: TaskExecutionInput, large_xcom_path: str, channel: Channel, record: TryRecord) -> ExecutionApi:
    """The API as one attempt of a task sees it."""
    own_run = RunKey(task.run.dag_id, task.run.run_id)
    xcoms = XComs(
        channel, own_run, task.upstream_results, task.inline_xcom_budget, large_xcom_path, changes=task.xcom_changes
    )
    queries = RunQueries(channel)
    scope = RunScope(channel, task.task_queue)
    questions = TaskQuestions(queries, task.run, scope, task.first_reschedule_date, task.declared_assets)
    instances = TaskInstances(TaskLife(channel, record, run_context(task)), questions)
    api = _assemble(instances, XComCalls(xcoms, task.max_map_length), queries, scope)
    return replace(
        api,
        task_state_store=TaskStateStore(channel, task, large_xcom_path),
        dag_runs=DagRuns(queries, task),
        hitl=HumanInput(record),
    )


def for_callbacks(
    callbacks: CallbackInput | DeadlineCallbackInput | RunListenersInput, large_xcom_path: str, channel: Channel
) -> ExecutionApi:
    """The API as callbacks see it: they can't end a task, and what they write is lost."""
    own_run = RunKey(callbacks.run.dag_id, callbacks.run.run_id)
    xcoms = XComs(channel, own_run, (), INLINE_VALUE_LIMIT, large_xcom_path)
    queries = RunQueries(channel)
    scope = RunScope(channel, callbacks.task_queue)
    instances = TaskInstances(TaskLife(channel, TryRecord(), None), TaskQuestions(queries, callbacks.run, scope))
    return _assemble(instances, XComCalls(xcoms, 0), queries, scope)


def for_trigger(wait: TriggerInput | DeadlineCallbackInput, large_xcom_path: str, asker: Asker) -> ExecutionApi:
    """The API as a trigger sees it: it can't end a task, and what it writes travels with the end of the wait."""
    xcoms = XComs(asker, RunKey(wait.run.dag_id, wait.run.run_id), (), INLINE_VALUE_LIMIT, large_xcom_path)
    queries = RunQueries(asker)
    scope = RunScope(asker, wait.task_queue)
    instances = TaskQuestions(queries, wait.run, scope)
    return _assemble(instances, XComCalls(xcoms, 0), queries, scope)


def run_context(task: TaskExecutionInput) -> TIRunContext:
    """What Airflow's server tells a task when it starts."""
    run = DagRunRecord(run=task.run, state=DagRunState.RUNNING, start_date=task.run_start_date)
    return TIRunContext(
        dag_run=as_dag_run(run),
        task_reschedule_count=task.task_reschedule_count,
        max_tries=task.max_tries,
        variables=[],
        connections=[],
        next_method=task.next_method,
        next_kwargs=resumed_kwargs(task),
        xcom_keys_to_clear=list(task.xcom_keys_to_clear),
        should_retry=task.should_retry,
        start_date=task.start_date if task.next_method else None,
    )


def _assemble(
    instances: TaskInstances | TaskQuestions,
    xcoms: XComCalls,
    queries: RunQueries,
    scope: RunScope,
) -> ExecutionApi:
    return ExecutionApi(
        task_instances=instances,
        xcoms=xcoms,
        connections=Connections(),
        variables=Variables(scope),
        dag_runs=DagRuns(queries),
        dags=Dags(queries),
        assets=Assets(scope),
        asset_events=AssetEventCalls(scope),
        hitl=HumanInput(TryRecord()),
        task_state_store=Unsupported("the task state store outside a task"),
        asset_state_store=AssetStateStore(scope),
    )
