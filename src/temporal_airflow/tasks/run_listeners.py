"""Listeners of DAG runs: users' code that Airflow calls in its scheduler, called here in a process of its own.

They get what they get there: a ``DagRun`` with its task instances, its DAG and a database session. The database is a
private one in memory with nothing but this run in it. It must not know when a listener is called.
"""

from __future__ import annotations

import json
import signal
import threading
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporal_airflow.models import DagDefinition, DagRunRecord, RunListenersInput
from temporal_airflow.tasks import logs
from temporal_airflow.tasks.messages import AskRun, CallbacksDone, RunListeners

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

    from temporal_airflow.tasks.channel import Channel

HOOKS = {"running": "on_dag_run_running", "success": "on_dag_run_success", "failed": "on_dag_run_failed"}
"""Airflow's hooks, by the state of the run."""

EXAMPLE_PLUGINS = "airflow.example_dags."
"""Airflow's own demonstration listener, which only prints; there unless ``[core] load_examples`` is off."""


def listened_states() -> tuple[str, ...]:
    """The states of runs that a plugin of this installation listens to."""
    from airflow.listeners.listener import get_listener_manager

    hooks = get_listener_manager().hook
    return tuple(state for state, name in HOOKS.items() if any(map(_counts, getattr(hooks, name).get_hookimpls())))


def _counts(implementation: Any) -> bool:
    return not implementation.plugin_name.startswith(EXAMPLE_PLUGINS)


def run(request: RunListeners, channel: Channel) -> CallbacksDone:
    """Call the listeners in a process of their own, and wait for them, in the main thread of a slot."""
    from temporal_airflow.tasks import callback_process
    from temporal_airflow.tasks.execution_api import client as execution_api

    notice = request.input
    record = channel.ask(AskRun(dag_id=notice.run.dag_id, run_id=notice.run.run_id)).run
    call = callback_process.Call(
        id=uuid.uuid4(),
        path=f"{__name__}.call_listeners",
        arguments={"notice": notice, "record": record or DagRunRecord(run=notice.run, state=notice.state)},
        bundle=notice.bundle,
        log_path=logs.listener_log_path(notice.run),
    )
    return callback_process.run(call, execution_api.for_callbacks(notice, request.large_xcom_path, channel), channel)


def call_listeners(notice: RunListenersInput, record: DagRunRecord) -> None:
    """Call the listeners, and let them finish; the process ends with it.

    Args:
        notice: what to tell them.
        record: the run with its task instances.
    """
    import airflow.models
    from airflow.listeners.listener import get_listener_manager
    from airflow.sdk.execution_time.task_runner import TaskRunnerMarker

    from temporal_airflow.engine import seams
    from temporal_airflow.engine.database import RunDatabase

    airflow.models.import_all_models()
    database = RunDatabase()
    seams.install(seams.listener_seams(database.new_session))
    dag_run = _dag_run(notice, record, database.session)
    hooks: Any = get_listener_manager().hook
    getattr(hooks, HOOKS[notice.state.value])(dag_run=dag_run, msg=notice.msg)
    hooks.before_stopping(component=TaskRunnerMarker())  # a listener may have left work to a pool of its own
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()


def _dag_run(notice: RunListenersInput, record: DagRunRecord, session: Session) -> DagRun:
    """The run as rows, in the state that it has reached."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import delete

    from temporal_airflow.engine.run_creation import create_dag_run

    dag_run = create_dag_run(_definition(notice), notice.run, notice.start_date, session, notice.queued_at)
    dag_run._state = notice.state
    dag_run.end_date = notice.end_date
    session.execute(delete(TaskInstance))
    session.expunge_all()
    session.add(dag_run)
    version, dag = dag_run.created_dag_version, dag_run.get_dag()
    for ti in record.task_instances:
        if not dag.has_task(ti.task_id):
            continue  # the file has changed meanwhile
        row = TaskInstance(
            dag.get_task(ti.task_id), dag_version_id=version.id, run_id=dag_run.run_id, map_index=ti.map_index
        )
        row.state = ti.state
        row.try_number = ti.try_number
        row.start_date, row.end_date = ti.start_date, ti.end_date
        row.set_duration()
        session.add(row)
    session.commit()
    return dag_run


def _definition(notice: RunListenersInput) -> DagDefinition:
    """The DAG with everything that its file says of it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.serialization.serialized_objects import DagSerialization

    reference = notice.bundle
    bundle = DagBundlesManager().get_bundle(name=reference.name, version=reference.version)
    bundle.initialize()
    bag = BundleDagBag(
        dag_folder=Path(bundle.path, reference.relative_fileloc),
        safe_mode=False,
        load_op_links=False,
        bundle_path=Path(bundle.path),
        bundle_name=reference.name,
    )
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # reading a DAG file leaves a handler that turns a crash into a loop
    dag = bag.dags.get(notice.run.dag_id)
    if dag is None:
        raise LookupError(f"{reference.relative_fileloc} has no DAG {notice.run.dag_id!r}: {bag.import_errors}")
    serialized = DagSerialization.to_dict(dag)
    serialized["dag"]["deadline"] = None
    return DagDefinition(
        dag_id=dag.dag_id,
        bundle=reference,
        compressed_dag=zlib.compress(json.dumps(serialized).encode()),
        task_count=len(dag.tasks),
    )
