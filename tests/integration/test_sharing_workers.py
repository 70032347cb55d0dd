"""Where workers are short, the more important task comes first, and no DAG waits until another one has had its fill."""

from __future__ import annotations

from run_bench import RunBench
from waiting import until

POOLS = "pools.py"


def begun(bench: RunBench) -> list[tuple[str, str]]:
    """DAG and task of each task that has begun, in order."""
    lines = [line.split() for line in bench.notes("uses")]
    return [(dag_id, task_id) for _, what, dag_id, _, task_id, _ in lines if what == "begins"]


async def test_a_busy_dag_does_not_hold_up_a_quiet_one(bench: RunBench) -> None:
    async with bench.worker(concurrency=1):
        busy = await bench.start(POOLS, "busy")
        await until("the busy one has begun", lambda: begun(bench))
        quiet = await bench.start(POOLS, "quiet")
        await bench.end(quiet)
        before = len(begun(bench))
        assert (await bench.end(busy)).state == "success"
    assert before < 12, begun(bench)


async def test_more_important_tasks_come_first_where_workers_are_short(bench: RunBench) -> None:
    async with bench.worker(concurrency=1):
        ended = await bench.run_here(POOLS, "in_bands", conf={"nap": 0.1})
    assert ended.state == "success"
    weights = [int(task_id.removeprefix("weighs").partition("_")[0]) for _, task_id in begun(bench)]
    queued = weights[1:]  # the first one meets a worker that waits, before there is any choice
    assert queued == sorted(queued, reverse=True)


async def test_a_task_on_a_queue_without_a_worker_is_reported_and_served_once_one_comes(bench: RunBench) -> None:
    bench.route_queues = True
    async with bench.worker(queues=["left"]):
        run = await bench.start(POOLS, "on_queues")

        async def waits() -> bool:
            tasks = {ti.task_id: ti for ti in (await bench.client.record(run)).task_instances}
            waits_for = tasks["right"].waits_for or ""
            wanted = f"a worker of task queue '{bench.task_queue}-right', since "
            return tasks["left"].state == "success" and waits_for.startswith(wanted)

        await until("the task on the other queue waits for a worker", waits)
    async with bench.worker(queues=["left", "right"]):
        ended = await bench.end(run)
    assert ended.state == "success"
    history = await bench.history(run)
    queues = {
        event.activity_task_scheduled_event_attributes.activity_id.partition("/")[0]: (
            event.activity_task_scheduled_event_attributes.task_queue.name
        )
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
    assert {name: queues[name] for name in ("left", "right")} == {
        name: f"{bench.task_queue}-{name}" for name in ("left", "right")
    }


async def test_a_task_that_no_worker_takes_in_time_fails_as_stuck_in_queued(bench: RunBench) -> None:
    bench.route_queues = True
    limits = {"task_queued_timeout": 0.5, "num_stuck_in_queued_retries": 1}
    async with bench.worker():
        ended = await bench.end(await bench.start(POOLS, "on_a_queue_of_nobody", limits=limits))
    assert ended.state == "failed"
    assert ended.errors == {"stuck": "Task was requeued more than 1 times and will be failed."}
    assert ended.tries == {"stuck": 1}
