"""Settles the identity of a run that was asked for: id, dates and conf, as Airflow's server would.

It runs where the DAG was loaded, since timetables are user code. It must not know how a run is started.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from temporal_airflow.exceptions import InputError
from temporal_airflow.models import DagRunIdentity, LoadDagInput

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.utils.types import DagRunType

MAX_CONF = 128 * 1024
"""Bytes of JSON; the conf travels with the DAG, and again with each task: 16 started at once fit into one message."""

MAX_RUN_ID = 248
"""Characters; Airflow allows 250, but ``run_id=...`` is the name of a folder of logs, and 255 is the limit of those."""


def identify_run(dag: SerializedDAG, request: LoadDagInput) -> DagRunIdentity:
    """The run that is asked for, checked.

    Raises:
        InputError: if Airflow wouldn't make it.
    """
    from airflow.utils.types import DagRunType

    make = _by_operator if request.run_type == DagRunType.OPERATOR_TRIGGERED else _by_hand
    run = make(dag, request)
    _check_conf(dag, request.conf)
    return run


def _by_operator(dag: SerializedDAG, request: LoadDagInput) -> DagRunIdentity:
    """The run as ``TriggerDagRunOperator`` has it made (``execution_api/routes/dag_runs.py``, ``trigger_dag``)."""
    from airflow._shared.timezones.timezone import coerce_datetime
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    run_type = DagRunType.OPERATOR_TRIGGERED
    if dag.allowed_run_types is not None and run_type not in dag.allowed_run_types:
        raise InputError(f"Dag with dag_id '{dag.dag_id}' does not allow operator-triggered runs")
    run_after = coerce_datetime(request.run_after or request.now)
    logical_date = coerce_datetime(request.logical_date)
    earliest = dag.default_args.get("start_date") if dag.default_args else None
    if logical_date is not None and earliest and logical_date < earliest:
        raise InputError(
            f"Logical date [{logical_date.isoformat()}] should be >= start_date [{earliest.isoformat()}] from Dag's "
            "default_args"
        )
    interval = dag.timetable.infer_manual_data_interval(run_after=run_after) if logical_date is not None else None
    assert request.run_id is not None, "the operator names the run"
    _check_run_id(request.run_id, run_type)
    return DagRunIdentity(
        dag_id=dag.dag_id,
        run_id=request.run_id,
        run_type=run_type,
        triggered_by=DagRunTriggeredByType.OPERATOR,
        logical_date=_utc(logical_date),
        data_interval_start=interval.start.astimezone(UTC) if interval else None,
        data_interval_end=interval.end.astimezone(UTC) if interval else None,
        run_after=run_after.astimezone(UTC),
        conf=request.conf,
        note=request.note,
        triggering_user_name=request.triggering_user_name,
    )


def _by_hand(dag: SerializedDAG, request: LoadDagInput) -> DagRunIdentity:
    """The run as Airflow's trigger API would make it (``TriggerDAGRunPostBody.validate_context``)."""
    from airflow._shared.timezones.timezone import coerce_datetime
    from airflow.utils.types import DagRunType

    if dag.allowed_run_types is not None and DagRunType.MANUAL not in dag.allowed_run_types:
        raise InputError(f"DAG {dag.dag_id!r} does not allow manual runs (allowed_run_types).")
    logical_date = coerce_datetime(request.logical_date or request.now)
    run_after = coerce_datetime(request.now)
    interval = dag.timetable.infer_manual_data_interval(run_after=logical_date)
    run_id = request.run_id
    if run_id is None:
        run_id = dag.timetable.generate_run_id(run_type=DagRunType.MANUAL, run_after=run_after, data_interval=interval)
    _check_run_id(run_id, DagRunType.MANUAL)
    return DagRunIdentity(
        dag_id=dag.dag_id,
        run_id=run_id,
        run_type=DagRunType.MANUAL,
        logical_date=logical_date.astimezone(UTC),
        data_interval_start=interval.start.astimezone(UTC),
        data_interval_end=interval.end.astimezone(UTC),
        run_after=run_after.astimezone(UTC),
        conf=request.conf,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment is not None else None


def _check_run_id(run_id: str, run_type: DagRunType) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunType

    if not run_id:
        raise InputError("The run id must not be empty; leave it out to have one made.")
    if ".." in run_id or "/" in run_id:
        raise InputError(f"The run id {run_id!r} must not contain '..' or '/'.")
    reserved = DagRunType.from_run_id(run_id)
    if run_type == DagRunType.MANUAL != reserved:
        raise InputError(f"The run id {run_id!r} is reserved for {reserved.value} runs; choose another.")
    if len(run_id) > MAX_RUN_ID:
        raise InputError(f"The run id {run_id[:20]}... has {len(run_id)} characters, the limit is {MAX_RUN_ID}.")
    validator: Any = DagRun.validate_run_id
    try:
        validator(None, "run_id", run_id)  # alone: a row of Airflow's would make SQLAlchemy set up all models first
    except ValueError as error:
        raise InputError(
            f"The run id {run_id!r} can't be used: {error}. Choose one of letters, digits and the characters _.~:+-"
        ) from error


def _check_conf(dag: SerializedDAG, conf: dict[str, Any]) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    try:
        dag.params.deep_merge(conf).validate()
    except ParamValidationError as error:
        raise InputError(f"The conf doesn't fit the params of DAG {dag.dag_id!r}: {error}") from error
    size = len(json.dumps(conf))
    if size > MAX_CONF:
        raise InputError(
            f"The conf is too large: {size:,} bytes of JSON, the limit is {MAX_CONF:,}. "
            "Put the data into a file and name the file in the conf."
        )
