"""Tasks that wait without a process: deferred to triggers, resumed with their events."""

from __future__ import annotations

from airflow.utils.state import TaskInstanceState

from run_bench import RunBench
from waiting import until

WAITS = "waits.py"


async def test_a_task_is_deferred_again_and_again_and_keeps_its_xcoms(bench: RunBench) -> None:
    run = await bench.run(WAITS, "waits_twice")
    assert (run.state, run.tries["waits"]) == ("success", 1)
    assert run.xcom("waits") == [1, 2]
    assert [run.xcom("waits", f"started-{step}") for step in (1, 2, 3)] == [1, 1, 1]


async def test_a_failed_trigger_and_a_timeout_fail_the_task_which_may_retry(bench: RunBench) -> None:
    run = await bench.run(WAITS, "waits_in_vain")
    assert run.states == {"fails": "failed", "times_out": "failed"}
    assert run.tries == {"fails": 2, "times_out": 1}
    assert "TaskDeferralTimeout" in (run.task("times_out").error or "")


async def test_a_trigger_may_end_its_task(bench: RunBench) -> None:
    run = await bench.run(WAITS, "ends_in_trigger")
    assert run.states == {"succeeds": "success", "then": "success", "gives_up": "failed", "skips": "skipped"}


async def test_a_deferrable_sensor_waits_in_a_trigger(bench: RunBench) -> None:
    run = await bench.run(WAITS, "waits_in_a_sensor")
    assert run.state == "success"


async def test_a_deferred_task_takes_no_slot(bench: RunBench) -> None:
    async with bench.worker(concurrency=1):
        workflow_id = await bench.start(WAITS, "many_wait")
        await until("all are deferred at once", lambda: _deferred(bench, workflow_id, 20))
        (bench.scratch / "go").touch()
        run = await bench.end(workflow_id)
    assert run.state == "success"


async def test_a_deferred_task_outlives_its_worker(bench: RunBench) -> None:
    async with bench.worker():
        workflow_id = await bench.start(WAITS, "waits_for_file")
        await until("the task is deferred", lambda: _deferred(bench, workflow_id, 1))
    (bench.scratch / "go").touch()
    async with bench.worker():
        run = await bench.end(workflow_id)
    assert (run.state, run.xcom("waits")) == ("success", "there")
    assert run.task("waits").lost_attempts == ()


async def test_a_cancelled_run_does_not_wait_for_its_triggers(bench: RunBench) -> None:
    async with bench.worker():
        workflow_id = await bench.start(WAITS, "waits_for_file")
        await until("the task is deferred", lambda: _deferred(bench, workflow_id, 1))
        await bench.client.cancel(workflow_id)
        run = await bench.end(workflow_id)
    assert run.states == {"waits": "failed", "then": "skipped"}


async def _deferred(bench: RunBench, workflow_id: str, number: int) -> bool:
    record = await bench.client.record(workflow_id)
    return [ti.state for ti in record.task_instances].count(TaskInstanceState.DEFERRED) == number
