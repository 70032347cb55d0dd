"""What a run does: one concept a test, on a real server with real task processes. Read this first."""

from __future__ import annotations

from datetime import UTC, datetime

from run_bench import RunBench
from waiting import until

FLOW = "flow.py"


async def test_tasks_pass_data_along(bench: RunBench) -> None:
    run = await bench.run(FLOW, "passes_data")
    assert run.state == "success"
    assert run.xcom("mean") == 2.0
    assert run.xcom("summary", "total") == 6


async def test_templates_params_and_context_are_as_under_airflow(bench: RunBench) -> None:
    logical_date = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    run = await bench.run(FLOW, "renders_templates", run_id="my-run", logical_date=logical_date, conf={"name": "Ada"})
    assert run.xcom("bash") == "Ada 2026-02-03 bash"
    assert run.xcom("context") == ["Ada", "my-run", "2026-02-03T04:05:00+00:00", "20260203T040500"]
    assert run.xcom("context", "extra") == {"try": 1}


async def test_a_task_that_fails_twice_succeeds_at_its_third_try(bench: RunBench) -> None:
    run = await bench.run(FLOW, "fails_twice")
    assert (run.state, run.tries) == ("success", {"flaky": 3})


async def test_a_failure_reaches_what_depends_on_it_and_nothing_else(bench: RunBench) -> None:
    run = await bench.run(FLOW, "always_fails")
    assert run.state == "failed"
    assert run.states == {"broken": "failed", "never": "upstream_failed", "independent": "success"}
    assert run.tries["broken"] == 2
    assert run.task("broken").error == "ValueError: always"
    assert (run.result.tasks_succeeded, run.result.tasks_failed) == (1, 2)


async def test_a_fail_exception_is_not_retried(bench: RunBench) -> None:
    run = await bench.run(FLOW, "never_retries")
    assert (run.state, run.tries) == ("failed", {"final": 1})


async def test_retry_delays_back_off_up_to_their_maximum(bench: RunBench) -> None:
    run = await bench.run(FLOW, "backs_off")
    assert (run.state, run.tries) == ("success", {"flaky": 3})
    started = run.result.snapshot.start_date
    ended = run.task("flaky").end_date
    assert started is not None
    assert ended is not None
    assert (ended - started).total_seconds() >= 3.0  # at least 1 s, then the maximum of 2 s


async def test_a_branch_runs_what_it_chose_and_skips_the_rest(bench: RunBench) -> None:
    run = await bench.run(FLOW, "branches")
    assert run.state == "success"
    assert run.states == {
        "choose": "success",
        "left": "success",
        "group.inner": "success",
        "right": "skipped",
        "after_right": "skipped",
        "join": "success",
    }


async def test_a_short_circuit_skips_everything_after_it(bench: RunBench) -> None:
    run = await bench.run(FLOW, "short_circuits")
    assert run.states == {"enough": "success", "first": "skipped", "last": "skipped"}


async def test_a_skipped_task_skips_its_followers_unless_they_run_always(bench: RunBench) -> None:
    run = await bench.run(FLOW, "skips")
    assert run.states == {"skipped": "skipped", "follows": "skipped", "always": "success"}


async def test_tasks_map_over_values_known_before_and_during_the_run(bench: RunBench) -> None:
    run = await bench.run(FLOW, "maps")
    assert run.state == "success"
    assert run.xcom("collect") == ["aa", "bb", "cc", 2, 3]
    assert run.tries["double[1]"] == 2
    assert run.states["over_nothing"] == "skipped"


async def test_a_teardown_runs_after_the_work_failed(bench: RunBench) -> None:
    run = await bench.run(FLOW, "sets_up_and_tears_down")
    assert run.state == "failed"
    assert run.states == {"create": "success", "work": "failed", "remove": "success", "after": "upstream_failed"}


async def test_a_run_over_its_timeout_fails_and_its_tasks_are_stopped(bench: RunBench) -> None:
    run = await bench.run(FLOW, "times_out")
    assert (run.state, run.result.snapshot.reason) == ("failed", "timed_out")
    assert run.states == {"quick": "success", "slow": "skipped", "never": "skipped"}


async def test_fail_fast_stops_the_rest_of_the_run(bench: RunBench) -> None:
    run = await bench.run(FLOW, "fails_fast")
    assert run.state == "failed"
    assert run.states == {"broken": "failed", "slow": "failed", "never": "skipped"}


async def test_no_more_tasks_run_at_once_than_the_dag_allows(bench: RunBench) -> None:
    run = await bench.run(FLOW, "is_limited")
    assert run.state == "success"
    running = most = 0
    for line in bench.notes("limited"):
        running += 1 if line.startswith("start") else -1
        most = max(most, running)
    assert len(bench.notes("limited")) == 12
    assert most <= 2


async def test_no_more_runs_are_active_at_once_than_the_dag_allows(bench: RunBench) -> None:
    first = await bench.start(FLOW, "runs_alone", run_id="first")

    async def is_listed() -> bool:
        return (await bench.client.list_runs(dag_id="runs_alone")).runs != ()

    await until("the first run is listed", is_listed)
    second = await bench.start(FLOW, "runs_alone", run_id="second")
    async with bench.worker():
        record = await bench.client.record(second)
        assert (record.state, record.waits_for) == (
            "queued",
            "DAG runs_alone is at (or above) max_active_runs (1).",
        )
        ended = [await bench.end(run) for run in (first, second)]
    assert [run.state for run in ended] == ["success", "success"]
    earlier, later = (run.result.snapshot for run in ended)
    assert earlier.end_date is not None
    assert later.start_date is not None
    assert earlier.end_date <= later.start_date


async def test_a_sensor_in_reschedule_mode_waits_without_a_process(bench: RunBench) -> None:
    run = await bench.run(FLOW, "pokes")
    assert run.state == "success"
    assert run.tries["arrives"] == 1
    assert bench.notes("pokes") == ["try 1"] * 3


async def test_callbacks_of_tasks_and_dag_are_called_with_their_context(bench: RunBench) -> None:
    run = await bench.run(FLOW, "calls_back")
    assert run.state == "failed"
    assert sorted(bench.notes("callbacks")) == [
        "dag failure task_failure",
        "execute good 1",
        "failure bad 2",
        "retry bad 1",
        "skipped skipped 1",
        "success 2 good 1",
        "success good 1",
    ]


async def test_callbacks_of_a_process_that_left_without_a_word_are_called_by_others(bench: RunBench) -> None:
    run = await bench.run("leaves.py")
    assert run.tries == {"is_killed": 2, "leaves_well": 2}
    assert run.states == {"is_killed": "success", "leaves_well": "failed"}
    assert sorted(bench.notes("callbacks")) == ["failure leaves_well 2", "retry is_killed 1", "retry leaves_well 1"]
