"""Runs single tasks in real processes, without Temporal: the test is the worker that slots talk to."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.utils.types import DagRunType

from temporal_airflow.models import (
    BundleReference,
    DagRunIdentity,
    DagRunRecord,
    TaskExecutionInput,
    XComPage,
    XComRecord,
)
from temporal_airflow.tasks import messages
from temporal_airflow.tasks.bundles import BUNDLE_NAME, bundle_environment
from temporal_airflow.tasks.messages import Answer, Ask, AskXCom, Heartbeat, Request, RunTask, TaskDone
from temporal_airflow.tasks.slots import ProcessTemplate, Slot, SlotPool

DAGS_FOLDER = Path(__file__).parent / "dags"
A_DATE = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass
class TaskBench:
    """Everything a test needs to run single tasks in real processes.

    Attributes:
        scratch: where the tasks of ``tests/dags`` leave notes.
        runs: what the worker answers when a task asks about other runs, by run id.
        xcoms: the XComs the worker knows of, of every run.
        questions: what tasks asked.
    """

    pool: SlotPool
    template: ProcessTemplate
    environment: dict[str, str]
    home: Path
    scratch: Path
    runs: dict[str, DagRunRecord] = field(default_factory=dict)
    xcoms: tuple[XComRecord, ...] = ()
    questions: list[Any] = field(default_factory=list)

    def cleared(self) -> TaskBench:
        """The bench, with nothing left of the test before."""
        self.runs, self.xcoms, self.questions = {}, (), []
        for note in self.scratch.iterdir():
            note.unlink()
        return self

    @property
    def log_folder(self) -> Path:
        return self.home / "logs"

    def task(self, task_id: str, file: str = "task_outcomes.py", **fields: Any) -> TaskExecutionInput:
        """The input of a try."""
        dag_id = fields.pop("dag_id", file.removesuffix(".py"))
        defaults = {
            "task_instance_id": uuid.uuid4(),
            "dag_version_id": uuid.uuid4(),
            "run": fields.pop("run", None) or a_run(dag_id),
            "run_start_date": A_DATE,
            "bundle": BundleReference(name=BUNDLE_NAME, relative_fileloc=file),
            "task_id": task_id,
            "try_number": 1,
        }
        return TaskExecutionInput(**(defaults | fields))

    async def run(self, task_id: str, **fields: Any) -> TaskDone:
        """Run one try to its end."""
        reply = await self.request(self.run_task(self.task(task_id, **fields)))
        assert isinstance(reply, TaskDone), getattr(reply, "traceback", reply)
        return reply

    def run_task(self, task: TaskExecutionInput) -> RunTask:
        return RunTask(input=task, large_xcom_path=f"file://{self.home}/xcom")

    async def request(self, request: Request) -> messages.AnyReply:
        """Have a slot serve a request."""
        async with self.pool.slot() as slot:
            await slot.send(request)
            return await self.reply(slot)

    async def reply(self, slot: Slot) -> messages.AnyReply:
        """Answer questions until the reply comes."""
        while True:
            match await slot.receive():
                case Heartbeat():
                    continue
                case Ask() as ask:
                    self.questions.append(ask.question)
                    await slot.send(self._answer(ask))
                case reply:
                    return reply

    def _answer(self, ask: Ask) -> Answer:
        question = ask.question
        if not isinstance(question, AskXCom):
            return Answer(id=ask.id, run=self.runs.get(getattr(question, "run_id", "")))
        wanted = question.request
        found = [
            record
            for record in self.xcoms
            if wanted.task_id in (None, record.task_id)
            and wanted.key in (None, record.key)
            and wanted.map_index in (None, record.map_index)
        ]
        rest = found[question.offset :]
        return Answer(
            id=ask.id,
            page=XComPage(records=tuple(rest[:2]), next_offset=question.offset + 2 if len(rest) > 2 else None),
        )


def a_run(dag_id: str) -> DagRunIdentity:
    """A manual run with a run id as Airflow makes them."""
    return DagRunIdentity(
        dag_id=dag_id,
        run_id=f"manual__{A_DATE.isoformat()}_{uuid.uuid4().hex[:6]}",
        run_type=DagRunType.MANUAL,
        logical_date=A_DATE,
        data_interval_start=A_DATE,
        data_interval_end=A_DATE,
        run_after=A_DATE,
    )


def task_environment(home: Path) -> dict[str, str]:
    """The environment of processes that run the tasks of ``tests/dags``, with an Airflow home of its own."""
    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_VAULT": "generic://user:s3cr3t-passw0rd@host/",
        "AIRFLOW_VAR_PRESENT": "from the environment",
        "TASK_TEST_SCRATCH": str(home / "scratch"),
    }
    return inherited | own | bundle_environment(DAGS_FOLDER)


@asynccontextmanager
async def open_task_bench(home: Path, isolation: str = "fork", **variables: str) -> AsyncIterator[TaskBench]:
    """Start a template of its own; that takes seconds, so a module shares one."""
    (home / "scratch").mkdir()
    environment = task_environment(home) | {"AIRFLOW__TEMPORAL__ISOLATION": isolation} | variables
    async with ProcessTemplate.start(environment) as template:
        pool = SlotPool(template, maximum=2)
        yield TaskBench(pool, template, environment, home, home / "scratch")
        await pool.close()


async def eventually(condition: Callable[[], Any], description: str, patience: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"Never: {description}"
        await asyncio.sleep(0.01)
