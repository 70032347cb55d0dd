"""A task of ours that the template runs before anything is forked from it, so that tasks find its memory warm.

What Python and Airflow learn when a task runs for the first time (specialised byte code, answers of abstract classes,
compiled patterns, models that are built late) every forked task would otherwise learn anew, into copies of pages of its
own. The template plays the task's process, and a child of it that ends with the rehearsal plays the slot. Neither
plugins, policies nor metrics of users hear of it, and nothing of it stays but what was learned. It is only a saving:
where it fails, tasks run all the same. It must not know real tasks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import traceback
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import structlog
from airflow.sdk._shared.listeners.listener import ListenerManager
from airflow.sdk._shared.listeners.spec import lifecycle, taskinstance
from airflow.sdk.api.datamodels._generated import BundleInfo, TaskInstance
from airflow.utils.state import TaskInstanceState
from airflow.utils.types import DagRunType
from setproctitle import getproctitle, setproctitle

from temporal_airflow.engine import seams
from temporal_airflow.models import BundleReference, DagRunIdentity, TaskExecutionInput, XComRecord, XComValue
from temporal_airflow.tasks import process_tree, runner
from temporal_airflow.tasks.bundles import LOCAL_BUNDLE
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.execution_api import client as execution_api
from temporal_airflow.tasks.process_state import ProcessState
from temporal_airflow.tasks.runner_connection import Runner, Task
from temporal_airflow.tasks.task_supervisor import RunnerTaskProcess
from temporal_airflow.tasks.try_record import TryRecord

PERFORMANCES = 8
"""Of each part: byte code is specialised in its eighth run."""

STAGE = Path(__file__).parent / "rehearsed"
FILE = "rehearsed_dag.py"
BUNDLE = "rehearsal"
DAG_ID = "rehearsed_dag"
PARTS = (("nothing", -1), ("after", 0))
"""A task and a mapped one."""

RESULTS = (XComRecord(task_id="values", key="return_value", content=XComValue(value=b'["something"]')),)
"""What the mapped one maps over."""

SURROUNDINGS = {
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
        [{"name": BUNDLE, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(STAGE), "refresh_interval": 0}}]
    ),
    "AIRFLOW__METRICS__STATSD_ON": "False",
    "AIRFLOW__METRICS__STATSD_DATADOG_ENABLED": "False",
    "AIRFLOW__METRICS__OTEL_ON": "False",
}
"""Of the rehearsal: a bundle of its own, and nobody who counts."""


def rehearse() -> bool:
    """Run the tasks, unless users would hear of it.

    Returns:
        Whether they ran, and well.
    """
    from airflow.configuration import conf

    if sys.platform != "linux" or conf.getboolean("traces", "otel_on", fallback=False):
        return False
    template = os.getpid()
    ours, theirs = socket.socketpair()
    with ours, _stage(), seams.without_users(_no_listeners):
        slot = os.fork()
        if slot == 0:
            ours.close()
            _play_slot(theirs, template)
        theirs.close()
        runner.run_each(ours)
        return os.waitpid(slot, 0)[1] == 0


@contextlib.contextmanager
def _stage() -> Iterator[None]:
    """Restore this process when the block ends."""
    state, modules, title = ProcessState(), set(sys.modules), getproctitle()
    kept = [os.dup(number) for number in runner.STANDARD]
    os.environ.update(SURROUNDINGS)
    try:
        yield
    finally:
        for number, descriptor in zip(runner.STANDARD, kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        state.undo()
        setproctitle(title)
        for name in set(sys.modules) - modules:
            if name.endswith(Path(FILE).stem):
                del sys.modules[name]


def _no_listeners() -> ListenerManager:
    """Airflow's, before any plugin has come to it."""
    listeners = ListenerManager()
    for specification in (lifecycle, taskinstance):
        listeners.add_hookspecs(specification)
    return listeners


def _play_slot(control: socket.socket, template: int) -> NoReturn:
    """Have the template run the task so many times, then end."""
    try:
        process_tree.die_with_parent(template)
        played = Runner(template, control, bundle=None)
        for task_id, map_index in PARTS * PERFORMANCES:
            _perform(played, task_id, map_index)
        os._exit(0)
    except BaseException:  # noqa: BLE001  # only a saving; the fork must never return into the template
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(1)


class _PlayedTask(RunnerTaskProcess):
    def _upload_logs(self) -> None:
        """There are none."""


def _perform(played: Runner, task_id: str, map_index: int) -> None:
    task, record = _input(task_id, map_index), TryRecord()
    _, other = socket.socketpair()
    channel = Channel(other)
    client: Any = execution_api.for_task(task, "", channel, record)
    process = _PlayedTask.start(
        runner=played,
        task=Task(bundle_name=BUNDLE, bundle_path=str(STAGE), file=FILE),
        what=TaskInstance(
            id=task.task_instance_id,
            task_id=task_id,
            dag_id=DAG_ID,
            run_id=task.run.run_id,
            try_number=1,
            dag_version_id=task.dag_version_id,
            map_index=map_index,
            hostname="",
            queue="default",
        ),
        dag_rel_path=FILE,
        bundle_info=BundleInfo(name=BUNDLE, version=None),
        client=client,
        logger=structlog.wrap_logger(structlog.ReturnLogger()),
        channel=channel,
        record=record,
    )
    process.wait()
    assert record.state == TaskInstanceState.SUCCESS, f"the rehearsal ended as {record.state}"


def _input(task_id: str, map_index: int) -> TaskExecutionInput:
    now = datetime.now(UTC)
    return TaskExecutionInput(
        task_instance_id=uuid.uuid4(),
        dag_version_id=uuid.uuid4(),
        run=DagRunIdentity(
            dag_id=DAG_ID,
            run_id="rehearsal",
            run_type=DagRunType.MANUAL,
            logical_date=now,
            data_interval_start=now,
            data_interval_end=now,
            run_after=now,
        ),
        run_start_date=now,
        bundle=BundleReference(name=BUNDLE, relative_fileloc=FILE),
        task_id=task_id,
        map_index=map_index,
        try_number=1,
        upstream_results=RESULTS,
    )
