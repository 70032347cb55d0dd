"""What tasks do with other runs: start them, wait for them, ask about them."""

from __future__ import annotations

from datetime import UTC, datetime

from run_bench import RunBench
from temporal_airflow import identifiers


async def test_a_task_starts_runs_in_every_way_that_airflow_knows(bench: RunBench) -> None:
    run = await bench.run("triggering.py", "triggers_in_every_way")
    assert run.states == {
        "first": "success",
        "again": "failed",
        "skips": "skipped",
        "same_date": "failed",
        "resets": "failed",
        "waits": "success",
        "defers": "success",
        "wants_failure": "success",
        "meets_failure": "failed",
        "only_run_after": "success",
        "misspelled": "failed",
        "wrong_conf": "failed",
    }
    errors = {name: run.task(name).error or "" for name, state in run.states.items() if state == "failed"}
    assert "reset_dag_run" in errors["resets"]
    assert "did you mean 'triggered'?" in errors["misspelled"]
    assert "triggered failed with failed states" in errors["meets_failure"]
    assert "'seven' is not of type 'integer'" in errors["wrong_conf"]

    first = run.xcom("first", "trigger_run_id")
    started = await bench.end(identifiers.workflow_id("triggered", first))
    assert started.xcom("works") == {
        "run_type": "operator_triggered",
        "logical_date": "2026-01-01 00:00:00+00:00",
        "run_after": started.xcom("works")["run_after"],
        "note": "started by a task",
        "number": 7,
    }
    undated = await bench.end(identifiers.workflow_id("triggered", run.xcom("only_run_after", "trigger_run_id")))
    assert undated.xcom("works")["logical_date"] == "None"
    assert undated.xcom("works")["run_after"] == "2026-01-01 00:00:00+00:00"


async def test_sensors_watch_other_runs(bench: RunBench) -> None:
    for day in (1, 2):
        await bench.run(
            "across_runs.py", "watched", run_id=f"day{day}", logical_date=datetime(2026, 1, day, tzinfo=UTC)
        )
    async with bench.worker(concurrency=6):
        is_open = await bench.start("across_runs.py", "is_open")
        watching = await bench.start("across_runs.py", "watches", logical_date=datetime(2026, 1, 1, tzinfo=UTC))
        run = await bench.end(watching)
        (bench.scratch / "go").touch()
        await bench.end(is_open)
    assert run.states == {
        "asks": "success",
        "by_delta": "success",
        "by_function": "success",
        "by_group": "success",
        "by_group_deferred": "success",
        "by_run": "success",
        "by_task": "success",
        "by_tasks": "success",
        "fails_softly": "skipped",
        "meets_failure": "failed",
        "meets_failure_deferred": "failed",
        "no_such_group": "failed",
        "skips": "skipped",
    }
    assert "Task group grup not found in DAG watched" in (run.task("no_such_group").error or "")
    assert run.xcom("asks") == {"runs": 2, "failed": 2, "running": 1, "task instances": 4}


async def test_xcoms_of_earlier_and_of_other_runs(bench: RunBench) -> None:
    async with bench.worker():
        open_run = await bench.start("across_runs.py", "is_open")
        conf = {"open_run": open_run.removeprefix("dag-is_open-")}
        for day, run_id in enumerate(("second", "first", "third")):
            date = datetime(2026, 2, (2, 1, 3)[day], tzinfo=UTC)
            last = await bench.end(
                await bench.start("across_runs.py", "reaches", run_id=run_id, logical_date=date, conf=conf)
            )
        (bench.scratch / "go").touch()
        written = await bench.end(open_run)
    pulled = last.xcom("pulls")
    assert pulled == {
        "one": "third",
        "all": ["first", "second", "third"],
        "before": ["first", "second"],
        "unwritten": None,
        "unmapped": "the first's",
        "of another dag": None,
    }
    assert last.states["writes_into_the_past"] == "failed"
    assert last.xcom("writes") == 10_000
    assert {xcom.key for xcom in written.result.xcoms if xcom.task_id == "end"} == {"small", "large"}
    assert written.xcom("end", "small") == {"from": "another run"}


async def test_runs_that_tasks_start_wait_for_their_turn_and_their_time(bench: RunBench) -> None:
    async with bench.worker(concurrency=6):
        starting = await bench.end(await bench.start("triggering.py", "triggers_many"))
        for run_id in "abc":
            run = await bench.end(identifiers.workflow_id("one_at_a_time", run_id))
            assert run.state == "success"
        far_away = identifiers.workflow_id("triggered", "far_away")
        waiting = await bench.client.record(far_away)
        await bench.client.cancel(far_away)
        cancelled = await bench.end(far_away)
    assert starting.state == "success"
    assert bench.notes("turns") == ["begins", "ends"] * 3
    assert (waiting.state, waiting.start_date) == ("queued", None)
    assert cancelled.state == "failed"
