"""Settles a DAG's deadlines where its file is loaded: intervals that a variable holds, arguments that may be secret.

It runs only in parse processes. It must not know when a deadline is: that is decided when the run is created.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from temporal_airflow.engine import support
from temporal_airflow.exceptions import InputError
from temporal_airflow.models import DeadlineAlert
from temporal_airflow.tasks import sealing

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow.sdk.definitions.deadline import DeadlineAlert as AirflowDeadlineAlert


def alerts(dag: DAG) -> tuple[DeadlineAlert, ...]:
    """The deadlines of a DAG, ready to travel.

    Raises:
        InputError: if an interval's variable can't be used.
    """
    return tuple(_settle(alert, dag.dag_id) for alert in support.deadline_alerts(dag))


def _settle(alert: AirflowDeadlineAlert, dag_id: str) -> DeadlineAlert:
    from airflow.sdk.definitions.callback import AsyncCallback
    from airflow.sdk.serde import serialize
    from airflow.serialization.encoders import encode_deadline_reference

    return DeadlineAlert(
        name=alert.name,
        reference=encode_deadline_reference(alert.reference),
        interval=_interval(alert, dag_id).total_seconds(),
        callback_path=alert.callback.path,
        callback_kwargs=sealing.seal(serialize(alert.callback.kwargs)),
        awaited=isinstance(alert.callback, AsyncCallback),
    )


def _interval(alert: AirflowDeadlineAlert, dag_id: str) -> timedelta:
    """The interval; one that a variable holds is read now, as Airflow reads it when it creates a run."""
    from airflow.sdk import Variable
    from airflow.sdk.exceptions import AirflowRuntimeError

    if isinstance(alert.interval, timedelta):
        return alert.interval
    key = alert.interval.key
    try:
        value = Variable.get(key)
    except AirflowRuntimeError as error:
        raise InputError(
            f"A deadline of DAG {dag_id!r} takes its interval from the variable {key!r}, which isn't there: set "
            f"AIRFLOW_VAR_{key.upper()} or a secrets backend."
        ) from error
    try:
        return timedelta(seconds=int(value))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"A deadline of DAG {dag_id!r} takes its interval from the variable {key!r}, which must be a whole number "
            "of seconds."
        ) from error
