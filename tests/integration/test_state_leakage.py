"""What one task leaves to the next: nothing where each has its process; in a reused one only what is documented."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from airflow.utils.state import TaskInstanceState

from task_bench import TaskBench, open_task_bench
from temporal_airflow.models import TaskExecutionResult
from temporal_airflow.tasks import logs
from temporal_airflow.tasks.messages import AskXCom, TaskDone
from temporal_airflow.tasks.slots import SlotPool

FILE = "leaky.py"
ITEMS = (
    "environment",
    "folder",
    "path",
    "handlers",
    "silent",
    "fields",
    "signals",
    "timer",
    "output",
    "hooks",
    "contexts",
    "lineage",
    "variable",
    "other_run",
    "umask",
)


class Looks:
    """What a task saw before and after another one changed all it could reach."""

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.pids: list[int] = []
        self.log = ""
        self.may_stay: list[bool] = []
        self.asked_runs: set[str] = set()
        self.dirty_run = ""


def value(result: TaskExecutionResult) -> Any:
    assert result.state == TaskInstanceState.SUCCESS, result.error
    return next(
        json.loads(record.content.value)
        for record in result.xcoms
        if record.key == "return_value" and record.content and record.content.value
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["fork", "reuse"])
async def isolation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bench(isolation: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TaskBench]:
    async with open_task_bench(tmp_path_factory.mktemp("airflow_home"), isolation) as bench:
        bench.pool = SlotPool(bench.template, maximum=1)
        yield bench
        await bench.pool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def looks(bench: TaskBench) -> Looks:
    looks = Looks()
    first = (await bench.run("looks", file=FILE)).result
    looks.before = value(first)
    dirty = bench.task("dirties", file=FILE)
    dirtied = await bench.request(bench.run_task(dirty))
    assert isinstance(dirtied, TaskDone)
    assert dirtied.result.state == TaskInstanceState.SUCCESS, dirtied.result.error
    last = bench.task("looks", file=FILE)
    bench.questions.clear()
    looked = await bench.request(bench.run_task(last))
    assert isinstance(looked, TaskDone)
    looks.after = value(looked.result)
    looks.asked_runs = {question.run_id for question in bench.questions if isinstance(question, AskXCom)}
    looks.dirty_run = dirty.run.run_id
    looks.may_stay = value((await bench.run("looks_for_what_may_stay", file=FILE)).result)
    looks.pids = [first.pid or 0, dirtied.result.pid or 0, looked.result.pid or 0]
    looks.log = Path(bench.log_folder / logs.log_path(last.run, "looks", -1, 1)).read_text()
    return looks


def test_the_process_is_reused_only_where_that_was_chosen(looks: Looks, isolation: str) -> None:
    assert len(set(looks.pids)) == (1 if isolation == "reuse" else 3)


@pytest.mark.parametrize("item", ITEMS)
def test_nothing_is_left_of(looks: Looks, item: str) -> None:
    assert looks.after[item] == looks.before[item]


def test_every_item_is_looked_at(looks: Looks) -> None:
    assert set(looks.after) == set(ITEMS)


def test_no_mask_is_left(looks: Looks) -> None:
    assert "It said open-sesame" in looks.log
    assert "It logged open-sesame" in looks.log


def test_no_xcom_of_another_run_is_asked_for(looks: Looks) -> None:
    assert looks.asked_runs
    assert looks.dirty_run not in looks.asked_runs


def test_what_is_registered_for_the_end_runs_at_the_end_of_the_task(looks: Looks, bench: TaskBench) -> None:
    assert (bench.scratch / "at_exit").exists()


def test_module_globals_and_open_files_are_left_in_a_reused_process_only(looks: Looks, isolation: str) -> None:
    assert looks.may_stay == [isolation == "reuse"] * 2
