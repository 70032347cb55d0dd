"""Runs on a worker that keeps but one of them in memory, so that each is replayed whenever another has had its turn."""

from __future__ import annotations

import asyncio

from temporalio.worker import Replayer

from run_bench import RunBench
from temporal_airflow.data_converter import DATA_CONVERTER
from temporal_airflow.worker import workflow_classes
from waiting import until

RUNS = 5


async def test_runs_that_are_cancelled_together_lose_nothing_and_their_histories_replay(bench: RunBench) -> None:
    bench.settings = bench.settings.model_copy(update={"max_cached_workflows": 1})
    async with bench.worker(concurrency=RUNS):
        runs = [await bench.start("operated.py", "tears_down") for _ in range(RUNS)]
        await until("the work of all setups runs", lambda: len(bench.notes("holds")) == RUNS)
        await asyncio.gather(*map(bench.client.cancel, runs))
        ended = [await bench.end(run) for run in runs]
    for run in ended:
        assert (run.state, run.states) == ("failed", {"begins": "success", "holds": "failed", "cleans": "success"})
        assert set(run.tries.values()) == {1}
    assert sorted(bench.notes("ran")) == ["begins 1"] * RUNS + ["cleans 1"] * RUNS
    assert bench.notes("killed") == ["1"] * RUNS
    replayer = Replayer(workflows=workflow_classes(), data_converter=DATA_CONVERTER)
    for workflow_id in runs:
        await replayer.replay_workflow(await bench.history(workflow_id))
