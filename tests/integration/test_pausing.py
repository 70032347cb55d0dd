"""Paused DAGs: open and new runs, with and without a worker, and a run that starts in the very moment."""

from __future__ import annotations

import pytest

from run_bench import RunBench, label
from temporal_airflow import pausing
from temporal_airflow.exceptions import InputError
from waiting import until

OPERATED = "operated.py"


async def states(bench: RunBench, run: str) -> dict[str, str | None]:
    return {label(ti): ti.state for ti in (await bench.client.record(run)).task_instances}


async def is_paused(bench: RunBench, run: str) -> bool:
    return (await bench.client.record(run)).paused


async def stands(bench: RunBench, run: str, **wanted: str | None) -> None:
    async def there() -> bool:
        return wanted.items() <= (await states(bench, run)).items()

    await until(f"{run} stands at {wanted}", there)


async def pause(bench: RunBench, dag_id: str = "holds") -> pausing.PauseOutcome:
    return await bench.client.pause(dag_id, task_queue=bench.task_queue, user="ann")


async def unpause(bench: RunBench, dag_id: str = "holds") -> None:
    await bench.client.unpause(dag_id, task_queue=bench.task_queue, user="bob")


async def test_no_more_tasks_start_in_open_and_new_runs_of_a_paused_dag(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds")
        await stands(bench, run, holds="running")
        assert (await pause(bench)).told == (run,)
        (bench.scratch / "go").touch()
        new = await bench.start(OPERATED, "holds")
        await stands(bench, run, holds="success", then=None)
        assert await is_paused(bench, run)
        assert await is_paused(bench, new)
        assert await states(bench, new) == {"holds": None, "then": None}
        again = await pause(bench)
        assert (again.before and again.before.user) == "ann"
        await unpause(bench)
        assert (await bench.end(run)).states == (await bench.end(new)).states == {"holds": "success", "then": "success"}


async def test_a_pause_begins_and_ends_without_a_worker(bench: RunBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "TELLING_PATIENCE", 0.1)
    (bench.scratch / "go").touch()
    early = await bench.start(OPERATED, "holds")
    await until("the run is listed", lambda: _is_known(bench, "holds"))
    assert (await pause(bench)).told is None
    run = await bench.start(OPERATED, "holds")
    async with bench.worker():
        assert await is_paused(bench, run)
        await until("the earlier run knows", lambda: is_paused(bench, early))
    await unpause(bench)
    async with bench.worker():
        assert (await bench.end(run)).state == (await bench.end(early)).state == "success"


async def test_a_run_that_starts_in_the_moment_of_the_pause_is_told_later(
    bench: RunBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sees_none(*_: object) -> None:
        return None

    async with bench.worker():
        await pause(bench)
        with monkeypatch.context() as before_the_pause:
            before_the_pause.setattr(pausing, "find_pause", sees_none)
            run = await bench.start(OPERATED, "holds")
        await until("the run knows", lambda: is_paused(bench, run))
        (bench.scratch / "go").touch()
        await stands(bench, run, holds="success", then=None)
        await unpause(bench)
        assert (await bench.end(run)).state == "success"


async def test_a_paused_run_goes_on_in_another_execution_and_hears_of_the_end_there(bench: RunBench) -> None:
    async def has_continued() -> bool:
        return len(await bench.histories(run)) > 1

    async with bench.worker():
        run = await bench.start(OPERATED, "holds", limits={"continue_from_events": 12})
        await stands(bench, run, holds="running")
        await pause(bench)
        (bench.scratch / "go").touch()
        await until("the run goes on in another execution", has_continued)
        await stands(bench, run, holds="success", then=None)
        assert await is_paused(bench, run)
        await unpause(bench)
        assert (await bench.end(run)).states == {"holds": "success", "then": "success"}


async def test_a_paused_run_that_is_cancelled_ends(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds")
        await stands(bench, run, holds="running")
        await pause(bench)
        await bench.client.cancel(run)
        assert (await bench.end(run)).states == {"holds": "failed", "then": "skipped"}
        await unpause(bench)


async def test_dags_that_there_are_not(bench: RunBench) -> None:
    async with bench.worker():
        with pytest.raises(InputError, match=r"No DAG 'hodls' in .* \(did you mean 'holds'"):
            await pause(bench, "hodls")
        await pause(bench)
        with pytest.raises(
            InputError, match=r"no DAG is paused with id 'hodls' \(did you mean 'holds'\?\); there are: h"
        ):
            await unpause(bench, "hodls")
        await unpause(bench)


async def _is_known(bench: RunBench, dag_id: str) -> bool:
    return dag_id in {known for known, _ in await bench.client.known_runs()}
