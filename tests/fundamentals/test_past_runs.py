"""Tasks that depend on earlier runs: they wait, without a process, until Airflow lets them start."""

from __future__ import annotations

from datetime import UTC, datetime

from run_bench import RunBench
from temporal_airflow.models import DagRunRecord
from waiting import until

PAST = "past.py"
CHAIN = "one_after_the_other"
FIRST, SECOND, THIRD, FOURTH = (datetime(2026, 5, day, tzinfo=UTC) for day in (1, 2, 3, 4))


async def test_a_task_waits_for_the_run_before_though_its_worker_is_replaced(bench: RunBench) -> None:
    async with bench.worker():
        first = await bench.start(PAST, CHAIN, logical_date=FIRST, conf={"file": "first"})
        await until("the first run is at work", lambda: _is(bench, first, "waits_for_file", "running"))
        second = await bench.start(PAST, CHAIN, logical_date=SECOND, conf={"file": "second"})
        (bench.scratch / "second").touch()
        await until("the second run waits", lambda: _waits(bench, second, "1 previous task instance(s) are not"))
    async with bench.worker():
        (bench.scratch / "first").touch()
        earlier, later = await bench.end(first), await bench.end(second)
    assert (earlier.state, later.state) == ("success", "success")
    ended, started = earlier.task("waits_for_file").end_date, later.task("waits_for_file").start_date
    assert ended is not None
    assert started is not None
    assert ended < started
    assert earlier.xcom("looks_back") == {"run": None, "succeeded": None, "interval": "None", "task": None}
    run = earlier.result.snapshot.run
    assert later.xcom("looks_back") == {
        "run": run.run_id,
        "succeeded": run.run_id,
        "interval": str(FIRST),
        "task": "success",
    }


async def test_a_task_waits_on_if_the_run_before_has_failed(bench: RunBench) -> None:
    (bench.scratch / "fails").write_text("fail")
    async with bench.worker():
        first = await bench.end(await bench.start(PAST, CHAIN, logical_date=FIRST, conf={"file": "fails"}))
        second = await bench.start(PAST, CHAIN, logical_date=SECOND, conf={"file": "fails"})
        await until("the second run waits", lambda: _waits(bench, second, "1 previous task instance(s) are not"))
        await bench.client.cancel(second)
        assert first.state == "failed"
        assert (await bench.end(second)).states == {"waits_for_file": "skipped", "looks_back": "skipped"}


async def test_a_task_that_was_gone_has_run_before_and_a_terminated_run_proves_no_success(bench: RunBench) -> None:
    async with bench.worker():
        first = await bench.end(await bench.start(PAST, "changes", logical_date=FIRST))
        second = await bench.end(await bench.start("past_changed.py", logical_date=SECOND))
        assert (first.states["comes_and_goes"], second.states) == ("success", {"stays": "success"})
        third = await bench.start(PAST, "changes", logical_date=THIRD)
        await until("the third run waits", lambda: _waits(bench, third, "the previous task instance has not run yet"))
        await bench.temporal.get_workflow_handle(third).terminate()
        fourth = await bench.start(PAST, "changes", logical_date=FOURTH)
        await until("the fourth run waits", lambda: _waits(bench, fourth, "1 previous task instance(s) are not"))
        await bench.client.cancel(fourth)
        await bench.end(fourth)


async def test_a_run_before_that_has_no_worker_holds_up_only_what_depends_on_it(bench: RunBench) -> None:
    loaded = await bench.load(PAST, "changes", logical_date=FIRST)
    first = await bench.client.start(loaded, task_queue=f"{bench.task_queue}-nobody", route_queues=False)
    async with bench.worker():
        second = await bench.start(PAST, "changes", logical_date=SECOND)
        await until("the rest has gone on", lambda: _is(bench, second, "stays", "success"))
        assert await _waits(bench, second, "1 previous task instance(s) are not")
        await bench.temporal.get_workflow_handle(first).terminate()
        await bench.client.cancel(second)
        assert (await bench.end(second)).states == {"stays": "success", "comes_and_goes": "skipped"}


async def _record(bench: RunBench, workflow_id: str) -> DagRunRecord:
    return await bench.client.record(workflow_id)


async def _is(bench: RunBench, workflow_id: str, task_id: str, state: str) -> bool:
    return (task_id, state) in [(ti.task_id, ti.state) for ti in (await _record(bench, workflow_id)).task_instances]


async def _waits(bench: RunBench, workflow_id: str, reason: str) -> bool:
    return any(reason in (ti.waits_for or "") for ti in (await _record(bench, workflow_id)).task_instances)
