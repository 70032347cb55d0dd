"""What Airflow's scheduler does for tasks that can't do it themselves, and for runs whose time is up.

From ``jobs/scheduler_job_runner.py``: ``_purge_task_instances_without_heartbeats``, the part of
``process_executor_events`` about tasks that ended without a word, and the ``dagrun_timeout`` part of
``_schedule_dag_run``. It must not know how a loss was noticed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun as DagRunData
from airflow.api_fastapi.execution_api.datamodels.taskinstance import TIRunContext
from airflow.callbacks.callback_requests import DagCallbackRequest, EmailRequest, TaskCallbackRequest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.state import DagRunState, State, TaskInstanceState
from sqlalchemy.orm import Session

from temporal_airflow.engine import outcomes
from temporal_airflow.models import BundleReference

if TYPE_CHECKING:
    from airflow.serialization.definitions.mappedoperator import Operator

CallbackRequest = DagCallbackRequest | TaskCallbackRequest | EmailRequest
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def callback_request(
    ti: TaskInstance, state: TaskInstanceState, dag_run: DagRun, bundle: BundleReference, message: str
) -> TaskCallbackRequest | None:
    """The request for the callbacks of a task that ended without a process of its own; None if it has none.

    Args:
        ti: before its row is changed.
        state: how it ended; a failure that is retried calls the retry callbacks.
        dag_run: its run.
        bundle: where its file is.
        message: why.
    """
    retries = state == TaskInstanceState.FAILED and outcomes.should_retry(ti)
    kind = TaskInstanceState.UP_FOR_RETRY if retries else state
    if not _has_callback(dag_run.get_dag().get_task(ti.task_id), kind):
        return None
    return TaskCallbackRequest(**_about(ti, dag_run, bundle, message), task_callback_type=kind)


def stuck_request(
    ti: TaskInstance, dag_run: DagRun, bundle: BundleReference, message: str
) -> TaskCallbackRequest | None:
    """The request for the failure callbacks of a task that is stuck in queued; None if it has none."""
    if not _has_callback(dag_run.get_dag().get_task(ti.task_id), TaskInstanceState.FAILED):
        return None
    return TaskCallbackRequest(**_about(ti, dag_run, bundle, message))


def email_request(ti: TaskInstance, dag_run: DagRun, bundle: BundleReference, message: str) -> EmailRequest | None:
    """The request for the email about a failure of such a task; None if nobody wants one.

    Args:
        ti: before its row is changed.
        dag_run: its run.
        bundle: where its file is.
        message: why it failed; the mail's text.
    """
    task = dag_run.get_dag().get_task(ti.task_id)
    retries = outcomes.should_retry(ti)
    if not task.email or not (task.email_on_retry if retries else task.email_on_failure):
        return None
    return EmailRequest(**_about(ti, dag_run, bundle, message), email_type="retry" if retries else "failure")


def _about(ti: TaskInstance, dag_run: DagRun, bundle: BundleReference, message: str) -> dict[str, Any]:
    """What every request about a task says."""
    return {
        "filepath": bundle.relative_fileloc,
        "bundle_name": bundle.name,
        "bundle_version": bundle.version,
        "ti": ti,
        "msg": message,
        "context_from_server": _context(ti, dag_run),
    }


def _context(ti: TaskInstance, dag_run: DagRun) -> TIRunContext:
    return TIRunContext(
        dag_run=DagRunData.model_validate(dag_run, from_attributes=True),
        max_tries=ti.max_tries,
        variables=[],
        connections=[],
        xcom_keys_to_clear=[],
    )


def _has_callback(task: Operator, kind: TaskInstanceState) -> bool:
    match kind:
        case TaskInstanceState.SUCCESS:
            return task.has_on_success_callback
        case TaskInstanceState.UP_FOR_RETRY:
            return task.has_on_retry_callback
        case TaskInstanceState.FAILED:
            return task.has_on_failure_callback
        case _:
            return False


def give_up(ti: TaskInstance, dag: SerializedDAG, now: datetime, session: Session) -> None:
    """Treat the try as failed by a heartbeat timeout: the next try, or failure."""
    if outcomes.should_retry(ti):
        outcomes.retry(ti, now, session)
    else:
        outcomes.fail(ti, now, dag, session)
    session.flush()


def time_out(dag_run: DagRun, dag: SerializedDAG, session: Session) -> DagCallbackRequest | None:
    """End a run that took longer than ``dagrun_timeout``; returns the DAG's failure callback, if it has one."""
    dag_run.set_state(DagRunState.FAILED)
    unfinished = [
        ti for ti in dag_run.get_task_instances(session=session) if ti.state is None or ti.state in State.unfinished
    ]
    last = max(unfinished, key=lambda ti: ti.start_date or _LONG_AGO, default=None)
    for ti in unfinished:
        ti.state = TaskInstanceState.SKIPPED
    session.flush()
    if not dag.has_on_failure_callback:
        return None
    return dag_run.produce_dag_callback(dag=dag, success=False, relevant_ti=last, reason="timed_out", execute=False)
