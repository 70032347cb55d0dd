"""DAG bundles whose files are parsed once for many tasks: how often, and what ends it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from airflow.utils.state import TaskInstanceState

from task_bench import TaskBench, open_task_bench
from temporal_airflow.tasks.bundles import BUNDLE_NAME, bundle_environment
from temporal_airflow.tasks.slots import SlotPool

DAG_FILE = """
import os
from airflow.sdk import DAG, get_parsing_context, task
from helper import VALUE

with open(os.environ["TASK_TEST_SCRATCH"] + "/parsed", "a") as note:
    note.write(f"{get_parsing_context().task_id} ")

with DAG("parsed", schedule=None):
    @task
    def value():
        import imported_late
        return [VALUE, imported_late.VALUE]

    @task
    def crashes():
        os._exit(3)

    value() >> crashes()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["fork", "reuse"])
async def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TaskBench]:
    home = tmp_path_factory.mktemp("airflow_home")
    (home / "dags").mkdir()
    variables = bundle_environment(home / "dags") | {"AIRFLOW__TEMPORAL__PREPARSED_BUNDLES": f"other, {BUNDLE_NAME}"}
    async with open_task_bench(home, request.param, **variables) as bench:
        yield bench


@pytest_asyncio.fixture(loop_scope="session")
async def tasks(bench: TaskBench) -> AsyncIterator[TaskBench]:
    bench.cleared().pool = SlotPool(bench.template, maximum=1)
    write(bench, "parsed.py", DAG_FILE)
    write(bench, "helper.py", "VALUE = 1")
    write(bench, "imported_late.py", "VALUE = 2")
    yield bench
    await bench.pool.close()


def write(bench: TaskBench, name: str, text: str) -> None:
    """Write a file that is older than whatever imports it."""
    path = bench.home / "dags" / name
    path.write_text(text)
    os.utime(path, (1_700_000_000 + len(text), 1_700_000_000))


async def value(tasks: TaskBench) -> Any:
    result = (await tasks.run("value", file="parsed.py")).result
    assert result.state == TaskInstanceState.SUCCESS, result.error
    (record,) = result.xcoms
    assert record.content is not None
    return json.loads(record.content.value or "null")


def parses(tasks: TaskBench) -> list[str]:
    return Path(tasks.scratch / "parsed").read_text().split()


async def test_a_file_is_parsed_once_for_all_its_tasks(tasks: TaskBench) -> None:
    assert [await value(tasks) for _ in range(3)] == [[1, 2]] * 3
    assert parses(tasks) == ["None"]


@pytest.mark.parametrize("name", ["helper.py", "parsed.py"])
async def test_a_file_that_changes_is_parsed_again(tasks: TaskBench, name: str) -> None:
    await value(tasks)
    write(tasks, "helper.py", "VALUE = 10")
    write(tasks, name, (tasks.home / "dags" / name).read_text() + "\n\n")
    assert await value(tasks) == [10, 2]
    assert len(parses(tasks)) == 2


async def test_what_tasks_import_late_is_not_used_beyond_a_change(tasks: TaskBench) -> None:
    await value(tasks)
    write(tasks, "imported_late.py", "VALUE = 20")
    assert await value(tasks) == [1, 20]


async def test_a_file_that_changes_the_environment_is_parsed_for_each_task(tasks: TaskBench) -> None:
    write(tasks, "parsed.py", DAG_FILE + "\nos.environ['FROM_A_DAG_FILE'] = '1'")
    await value(tasks)
    await value(tasks)
    assert "value" in parses(tasks)


async def test_a_crash_is_one_of_the_task(tasks: TaskBench) -> None:
    await value(tasks)
    result = (await tasks.run("crashes", file="parsed.py")).result
    assert (result.state, result.exit_code) == (TaskInstanceState.FAILED, 3)
    assert await value(tasks) == [1, 2]


async def test_a_file_that_cannot_be_imported_says_why(tasks: TaskBench) -> None:
    write(tasks, "parsed.py", "import nowhere_to_be_found")
    result = (await tasks.run("value", file="parsed.py", task_reschedule_count=3)).result
    assert result.state == TaskInstanceState.FAILED
    assert "nowhere_to_be_found" in (result.error or "")
