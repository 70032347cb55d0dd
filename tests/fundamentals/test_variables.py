"""Variables that tasks set outlive their run, sealed; runs of another task queue have their own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from run_bench import DAGS_FOLDER, RunBench
from temporal_airflow import identifiers
from temporal_airflow.models import StateChange, ValueQuestion
from temporal_airflow.state_client import Place, StateClient
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate

VARIABLES = "variables.py"
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
NOTHING: dict[str, object] = {"plain": "", "rendered": None, "absent": "default", "keys": [[], []]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sealing_template() -> AsyncIterator[ProcessTemplate]:
    environment = {**os.environ, **bundle_environment(DAGS_FOLDER), "AIRFLOW__CORE__FERNET_KEY": KEY}
    async with ProcessTemplate.start(environment) as template:
        await template.ready()
        yield template


@pytest.fixture
def sealing_bench(bench: RunBench, sealing_template: ProcessTemplate) -> RunBench:
    bench.template = sealing_template
    return bench


async def test_a_variable_outlives_its_run_and_its_worker(sealing_bench: RunBench) -> None:
    assert (await sealing_bench.run(VARIABLES, "sets_variables")).xcom("sets") is True
    read = (await sealing_bench.run(VARIABLES, "reads_variables")).xcom("reads")
    assert read == {
        "plain": " twice",
        "rendered": {"a": [1, None]},
        "absent": "default",
        "keys": [["json", "plain"], ["json"]],
    }
    sealing_bench.task_queue += "-of-another-project"
    assert (await sealing_bench.run(VARIABLES, "reads_variables")).xcom("reads") == NOTHING


async def test_no_value_of_a_variable_is_in_a_history(sealing_bench: RunBench) -> None:
    run = await sealing_bench.run(VARIABLES, "sets_variables")
    place = identifiers.state_workflow_id(sealing_bench.task_queue, "variables")
    histories = [await sealing_bench.history(workflow_id) for workflow_id in (run.workflow_id, place)]
    raw = b"".join(event.SerializeToString() for history in histories for event in history.events)
    assert b"plain" in raw
    assert b"KEPT-VALUE" not in raw


async def test_variables_have_so_much_room_and_a_task_is_told_so(bench: RunBench) -> None:
    run = await bench.run(VARIABLES, "fills_variables")
    assert run.state == "failed"
    assert "There is no room for 'large10'" in (run.task("fills").error or "")


async def test_nothing_is_lost_when_the_state_continues_as_new(bench: RunBench) -> None:
    states, place = StateClient(bench.temporal), Place(bench.task_queue, "variables")
    async with bench.worker():
        place = Place(bench.task_queue, "variables", empty=place.empty.model_copy(update={"changes_per_run": 3}))
        for number in range(10):
            await states.change(place, StateChange(values={f"k{number}": "x"}))
        answer = await states.values(place, ValueQuestion())
        description = await bench.temporal.get_workflow_handle(place.workflow_id).describe()
    assert answer.keys == tuple(f"k{number}" for number in range(10))
    assert description.raw_description.workflow_execution_info.first_run_id != description.run_id
