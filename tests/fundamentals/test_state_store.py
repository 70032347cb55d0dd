"""What tasks keep in their state store: acknowledged by the run."""

from __future__ import annotations

import json

from run_bench import RunBench


async def test_a_task_keeps_state_over_tries_and_deferrals_until_the_run_has_ended(bench: RunBench) -> None:
    run = await bench.run("state_store.py", "keeps_state")
    assert (run.state, run.tries["over_tries"]) == ("success", 2)

    first, second = map(json.loads, bench.notes("over_tries"))
    assert first == dict.fromkeys(("secret", "large", "gone", "expired"), "nothing")
    assert second == {
        "secret": {"password": "squeamish ossifrage"},
        "large": 50_000,
        "gone": "nothing",
        "expired": "nothing",
    }
    assert run.xcom("over_tries") == "cleared"
    assert run.xcom("of_another_task") == "not mine"
    assert run.xcom("keeps_while_deferred") == "deferral"
    assert [run.xcom("of_one_map_index", map_index=index) for index in (0, 1)] == [3, 4]
    assert bench.notes("submits_once") == ['"submitted"']
    assert run.xcom("submits_once") == "job-1"

    assert {(state.task_id, state.map_index, state.key) for state in run.result.task_states} == {
        ("keeps_while_deferred", -1, "before"),
        ("of_one_map_index", 0, "index"),
        ("of_one_map_index", 1, "index"),
        ("over_tries", -1, "left"),
        ("submits_once", -1, "job"),
    }
