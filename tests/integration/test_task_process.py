"""One try at a time in real processes: stock task runner, our supervisor and Execution API, no Temporal."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from airflow.utils.state import DagRunState, TaskInstanceState

from task_bench import TaskBench, eventually, open_task_bench
from temporal_airflow.models import DagRunRecord, TaskInstanceRecord, XComRecord, XComValue
from temporal_airflow.tasks import logs
from temporal_airflow.tasks.messages import AskXCom, Cancel, Heartbeat, TaskDone

State = TaskInstanceState


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["fork", "reuse"])
async def shared_bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TaskBench]:
    async with open_task_bench(tmp_path_factory.mktemp("airflow_home"), request.param) as bench:
        yield bench


@pytest.fixture
def tasks(shared_bench: TaskBench) -> TaskBench:
    return shared_bench.cleared()


def values(reply: TaskDone) -> dict[str, Any]:
    return {
        record.key: json.loads(record.content.value)
        for record in reply.result.xcoms
        if record.content and record.content.value
    }


def value(task_id: str, content: Any, key: str = "return_value", map_index: int = -1) -> XComRecord:
    return XComRecord(task_id=task_id, key=key, map_index=map_index, content=XComValue(value=json.dumps(content)))


def log_text(tasks: TaskBench, reply_task: Any) -> str:
    path = logs.log_path(reply_task.run, reply_task.task_id, reply_task.map_index, reply_task.try_number)
    return Path(tasks.log_folder / path).read_text()


async def test_a_success_returns_its_value(tasks: TaskBench) -> None:
    reply = await tasks.run("answer")
    assert reply.result.state == State.SUCCESS
    assert reply.result.exit_code == 0
    assert reply.result.error is None
    assert values(reply) == {"return_value": {"answer": 42, "weather": "☀"}}
    assert reply.result.start_date <= reply.result.end_date


async def test_multiple_outputs_are_values_of_their_own(tasks: TaskBench) -> None:
    assert values(await tasks.run("several")) == {"a": 1, "b": [1, 2], "return_value": {"a": 1, "b": [1, 2]}}


async def test_no_value_no_xcom(tasks: TaskBench) -> None:
    assert (await tasks.run("nothing")).result.xcoms == ()


async def test_upstream_values_that_came_along_are_not_asked_for(tasks: TaskBench) -> None:
    reply = await tasks.run("templated", upstream_results=(value("answer", {"answer": 42}),))
    assert values(reply) == {"return_value": "42 2026-05-01"}
    assert tasks.questions == []


async def test_other_values_are_asked_from_the_run(tasks: TaskBench) -> None:
    tasks.xcoms = (value("several", 7, key="a"),)
    reply = await tasks.run("add_one")
    assert values(reply)["return_value"] == [8, None, None]
    assert all(isinstance(question, AskXCom) for question in tasks.questions)


async def test_a_mapped_upstream_is_a_sequence_in_map_index_order(tasks: TaskBench) -> None:
    tasks.xcoms = tuple(value("parts", number * 10, map_index=number) for number in (2, 0, 1, 3, 4))
    assert values(await tasks.run("total"))["return_value"] == [100, 5, 40, [10, 20, 30, 40]]


async def test_a_failure_says_why_in_one_line(tasks: TaskBench) -> None:
    result = (await tasks.run("failing")).result
    assert (result.state, result.error, result.exit_code) == (State.FAILED, "ValueError: bad value", 0)


async def test_a_failure_with_tries_left_is_up_for_retry(tasks: TaskBench) -> None:
    result = (await tasks.run("failing", should_retry=True, max_tries=1)).result
    assert (result.state, result.error) == (State.UP_FOR_RETRY, "ValueError: bad value")


async def test_airflow_fail_exception_never_retries(tasks: TaskBench) -> None:
    result = (await tasks.run("failing_for_good", should_retry=True, max_tries=1)).result
    assert (result.state, result.error) == (State.FAILED, "AirflowFailException: no retry")


async def test_a_skip_is_a_skip(tasks: TaskBench) -> None:
    result = (await tasks.run("skipping")).result
    assert (result.state, result.error) == (State.SKIPPED, None)


@pytest.mark.parametrize(
    ("task_id", "exit_code", "error"),
    [
        ("hard_exit", 7, "Process ended with exit code 7"),
        ("silent_exit", 0, "Process ended without reporting a state"),
        ("soft_exit", 0, "Task exited with code 3"),
        ("crashing", -11, "Process was killed by SIGSEGV"),
        ("killed", -9, "Process was killed by SIGKILL"),
    ],
)
@pytest.mark.parametrize("should_retry", [True, False])
async def test_a_process_that_ends_by_itself(
    tasks: TaskBench, task_id: str, exit_code: int, error: str, should_retry: bool
) -> None:
    result = (await tasks.run(task_id, should_retry=should_retry, max_tries=1)).result
    expected = State.UP_FOR_RETRY if should_retry else State.FAILED
    assert (result.state, result.exit_code, result.error) == (expected, exit_code, error)
    reported = task_id == "soft_exit" or (exit_code != 0 and not should_retry)  # by Airflow's supervisor
    assert result.unreported is not reported


async def test_an_execution_timeout_is_a_failure_that_may_be_retried(tasks: TaskBench) -> None:
    result = (await tasks.run("slow", should_retry=True, max_tries=1)).result
    assert result.state == State.UP_FOR_RETRY
    assert result.error is not None
    assert result.error.startswith("AirflowTaskTimeout: ")


async def test_a_cancelled_task_runs_on_kill_and_leaves_nothing_alive(tasks: TaskBench) -> None:
    async with tasks.pool.slot() as slot:
        await slot.send(tasks.run_task(tasks.task("stubborn")))
        await eventually((tasks.scratch / "stubborn").exists, "the task runs")
        pids = [int(pid) for pid in (tasks.scratch / "stubborn").read_text().split()]
        asked = time.monotonic()
        await slot.send(Cancel())
        reply = await tasks.reply(slot)
        assert time.monotonic() - asked < 8
        assert isinstance(reply, TaskDone)
        assert reply.cancelled
        assert (reply.result.state, reply.result.error) == (State.FAILED, "The task was cancelled")
        assert (tasks.scratch / "on_kill").exists()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not slot.has_children()


async def test_a_running_task_has_heartbeats(tasks: TaskBench) -> None:
    async with tasks.pool.slot() as slot:
        await slot.send(tasks.run_task(tasks.task("slow")))
        assert isinstance(await slot.receive(), Heartbeat)
        await tasks.reply(slot)


async def test_a_daemon_that_a_task_left_lives_on(tasks: TaskBench) -> None:
    assert (await tasks.run("leaves_a_daemon")).result.state == State.SUCCESS
    daemon = psutil.Process(int((tasks.scratch / "daemon").read_text()))
    assert daemon.name() == "sleep"
    daemon.kill()


async def test_a_sensor_in_reschedule_mode_names_the_next_poke(tasks: TaskBench) -> None:
    first = (await tasks.run("poke_later")).result
    assert first.state == State.UP_FOR_RESCHEDULE
    assert first.reschedule_date is not None
    assert 50 < (first.reschedule_date - first.end_date).total_seconds() < 61
    late = {"task_reschedule_count": 20, "first_reschedule_date": first.start_date.replace(year=2020)}
    result = (await tasks.run("poke_later", start_date=first.start_date, **late)).result
    assert result.state == State.FAILED
    assert result.start_date == first.start_date
    assert result.error is not None
    assert result.error.startswith("AirflowSensorTimeout: ")


async def test_a_branch_names_the_tasks_to_skip(tasks: TaskBench) -> None:
    reply = await tasks.run("branch")
    assert reply.result.skipped_tasks == (("right", -1),)
    assert values(reply)["skipmixin_key"] == {"followed": ["left"]}


async def test_a_short_circuit_names_the_tasks_to_skip(tasks: TaskBench) -> None:
    assert (await tasks.run("short_circuit")).result.skipped_tasks == (("after_short_circuit", -1),)


async def test_a_large_value_goes_to_object_storage_and_comes_back(tasks: TaskBench) -> None:
    (record,) = (await tasks.run("large")).result.xcoms
    assert record.content is not None
    assert record.content.value is None
    assert record.content.reference is not None
    assert record.content.reference.startswith(f"file://{tasks.home}/xcom/task_outcomes/manual__")
    tasks.xcoms = (record,)
    assert values(await tasks.run("length_of")) == {"return_value": 200_000}


async def test_values_beyond_the_budget_go_to_object_storage(tasks: TaskBench) -> None:
    records = (await tasks.run("many_small", inline_xcom_budget=2500)).result.xcoms
    assert [bool(record.content and record.content.reference) for record in records] == [False, False, True, True]


async def test_object_storage_that_cannot_be_written_names_its_setting(tasks: TaskBench) -> None:
    request = tasks.run_task(tasks.task("large")).model_copy(update={"large_xcom_path": "file:///proc/nowhere"})
    reply = await tasks.request(request)
    assert isinstance(reply, TaskDone)
    assert reply.result.state == State.FAILED
    assert "[temporal] xcom_objectstorage_path" in (reply.result.error or "")


async def test_the_length_of_a_mapped_value_is_reported(tasks: TaskBench) -> None:
    assert (await tasks.run("items")).result.mapped_length == 3


async def test_a_value_too_long_to_map_fails_the_task(tasks: TaskBench) -> None:
    result = (await tasks.run("items", max_map_length=2)).result
    assert result.state == State.FAILED
    assert "max_map_length" in (result.error or "")


async def test_a_retry_clears_its_earlier_values(tasks: TaskBench) -> None:
    records = (await tasks.run("nothing", try_number=2, xcom_keys_to_clear=("old",))).result.xcoms
    assert records == (XComRecord(task_id="nothing", key="old", content=None),)


async def test_secrets_are_in_neither_result_nor_log(tasks: TaskBench) -> None:
    task = tasks.task("secretive")
    reply = await tasks.request(tasks.run_task(task))
    text = log_text(tasks, task)
    assert "the password is ***" in text
    assert isinstance(reply, TaskDone)
    assert reply.result.error == "ValueError: *** was refused"
    assert "s3cr3t-passw0rd" not in text + reply.model_dump_json()


async def test_the_log_is_where_airflow_looks_for_it(tasks: TaskBench) -> None:
    task = tasks.task("nothing", try_number=3)
    await tasks.request(tasks.run_task(task))
    folder = tasks.log_folder / "dag_id=task_outcomes" / f"run_id={task.run.run_id}" / "task_id=nothing"
    assert [path.name for path in folder.iterdir()] == ["attempt=3.log"]


async def test_the_log_of_a_failure_reads_like_a_log(tasks: TaskBench) -> None:
    task = tasks.task("failing")
    await tasks.request(tasks.run_task(task))
    lines = [line for raw in log_text(tasks, task).splitlines() for line in logs.render(raw)]
    failure = next(number for number, line in enumerate(lines) if line.endswith("ERROR - Task failed with exception"))
    assert lines[failure + 1] == "Traceback (most recent call last):"
    assert any("task_outcomes.py" in line for line in lines[failure:])
    assert any(line.startswith("ValueError: bad") for line in lines[failure:])


async def test_variables_come_from_the_environment_or_not_at_all(tasks: TaskBench) -> None:
    found = values(await tasks.run("looks_up"))["return_value"]
    assert found[:2] == ["from the environment", "fallback"]
    assert "absent" in found[2]


async def test_outlet_events_are_reported(tasks: TaskBench) -> None:
    events = (await tasks.run("emits")).result.asset_events
    assert [outlet["name"] for outlet in events.task_outlets] == ["orders"]
    assert events.outlet_events[0]["extra"] == {"rows": 5}


async def test_questions_about_other_runs(tasks: TaskBench) -> None:
    done = tuple(TaskInstanceRecord(task_id="m", map_index=index, state=State.SUCCESS) for index in (0, 1))
    other = tasks.task("nothing").run.model_copy(update={"run_id": "other"})
    tasks.runs["other"] = DagRunRecord(run=other, state=DagRunState.SUCCESS, task_instances=done)
    states = {"other": {"m_0": "success", "m_1": "success"}}
    assert values(await tasks.run("asks"))["return_value"] == [2, states, "success", 1]


async def test_a_missing_dag_file_is_looked_for_again_and_then_fails(tasks: TaskBench) -> None:
    first = (await tasks.run("nothing", file="absent.py")).result
    assert first.state == State.UP_FOR_RESCHEDULE
    last = (await tasks.run("nothing", file="absent.py", task_reschedule_count=3)).result
    assert (last.state, last.exit_code, last.error) == (State.FAILED, 1, "Dag not found during start up")


async def test_a_dag_file_that_cannot_be_imported_says_why(tasks: TaskBench) -> None:
    result = (await tasks.run("any", file="broken_import.py", task_reschedule_count=3)).result
    assert result.state == State.FAILED
    assert result.error is not None
    assert result.error.startswith("Dag not found during start up: ModuleNotFoundError: ")


async def test_a_run_id_cannot_lead_out_of_the_log_folder(tasks: TaskBench, tmp_path: Path) -> None:
    run = tasks.task("nothing").run.model_copy(update={"run_id": "x/../../../../elsewhere"})
    reply = await tasks.request(tasks.run_task(tasks.task("nothing", run=run)))
    assert reply.kind == "failed"
    assert "base_log_folder" in reply.error
