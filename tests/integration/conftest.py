"""Fixtures of integration tests: real processes, no mocks."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
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

DAGS_FOLDER = Path(__file__).parent.parent / "dags"
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
    home: Path
    scratch: Path
    runs: dict[str, DagRunRecord] = field(default_factory=dict)
    xcoms: tuple[XComRecord, ...] = ()
    questions: list[Any] = field(default_factory=list)

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


@pytest.fixture(scope="module")
def task_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes that run the tasks of ``tests/dags``, with an Airflow home of its own."""
    home = tmp_path_factory.mktemp("airflow_home")
    (home / "scratch").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_VAULT": "generic://user:s3cr3t-passw0rd@host/",
        "AIRFLOW_VAR_PRESENT": "from the environment",
        "TASK_TEST_SCRATCH": str(home / "scratch"),
    }
    return environment | bundle_environment(DAGS_FOLDER)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_task_bench(task_environment: dict[str, str]) -> AsyncIterator[TaskBench]:
    home = Path(task_environment["AIRFLOW_HOME"])
    async with ProcessTemplate.start(task_environment) as template:
        pool = SlotPool(template, maximum=2)
        yield TaskBench(pool, template, home, home / "scratch")
        await pool.close()


@pytest.fixture
def tasks(shared_task_bench: TaskBench) -> TaskBench:
    """The bench, with nothing left of the test before."""
    bench = shared_task_bench
    bench.runs, bench.xcoms, bench.questions = {}, (), []
    for note in bench.scratch.iterdir():
        note.unlink()
    return bench
