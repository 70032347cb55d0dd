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
