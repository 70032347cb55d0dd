"""Tasks that ask people: they wait without a process, and go on with an answer or without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.utils.state import TaskInstanceState

from run_bench import RunBench, label
from temporal_airflow.exceptions import InputError
from waiting import until

ASKS = "asks.py"


async def asked(bench: RunBench, workflow_id: str, *names: str) -> dict[str, Any]:
    """What these tasks ask, once all of them do."""
    asking: dict[str, Any] = {}

    async def all_ask() -> bool:
        record = await bench.client.record(workflow_id)
        asking.clear()
        asking.update({label(ti): ti.input_request for ti in record.task_instances if ti.input_request})
        return asking.keys() >= set(names)

    await until(f"{names} ask", all_ask)
    return asking


async def test_people_are_asked_and_their_answers_count(bench: RunBench) -> None:
    async with bench.worker(concurrency=1):
        run = await bench.start(ASKS, "asks", logical_date="2024-01-02T00:00:00Z")
        request = (await asked(bench, run, "enters"))["enters"]
        assert (request.subject, request.options) == ("How many on 2024-01-02?", ("OK",))
        assert request.params["number"]["schema"] == {"type": "integer", "minimum": 1}
        with pytest.raises(InputError, match="Param 'number' can't be 0: 0 is less than the minimum of 1"):
            await bench.client.respond(run, "enters", params_input={"number": 0, "note": ""})
        await bench.client.respond(run, "enters", params_input={"number": 3, "note": "few"}, user="cleo")
        await asked(bench, run, "branches")
        with pytest.raises(InputError, match="its state is success"):
            await bench.client.respond(run, "enters")
        with pytest.raises(InputError, match="User 'cleo' may not answer task 'branches'; assigned: ann"):
            await bench.client.respond(run, "branches", chosen_options=["ship"], user="cleo")
        await bench.client.respond(run, "branches", chosen_options=["hold"], user="bob")
        ended = await bench.end(run)
    assert ended.states == {"enters": "success", "branches": "success", "holds": "success", "ships": "skipped"}
    given = ended.xcom("enters")
    assert (given["chosen_options"], given["params_input"]) == (["OK"], {"number": 3, "note": "few"})
    assert given["responded_by_user"] == {"id": "cleo", "name": "cleo"}
    with pytest.raises(InputError, match="has ended"):
        await bench.client.respond(run, "branches", chosen_options=["ship"])


async def test_one_of_two_answers_at_the_same_moment_is_refused(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(ASKS, "asks_for_approval")
        await asked(bench, run, "approves")
        answers = [
            bench.client.respond(run, "approves", chosen_options=[choice], user=choice)
            for choice in ("Approve", "Reject")
        ]
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
        ended = await bench.end(run)
    assert [type(outcome) for outcome in outcomes if outcome] == [InputError]
    [taken] = [choice for choice, outcome in zip(("Approve", "Reject"), outcomes, strict=True) if outcome is None]
    assert ended.states["after"] == ("success" if taken == "Approve" else "skipped")


async def test_a_waiting_task_outlives_its_worker(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(ASKS, "asks_many")
        await asked(bench, run, "chooses[0]", "chooses[1]")
    async with bench.worker():
        await bench.client.respond(run, "chooses", chosen_options=["a", "c"], map_index=1)
        await bench.client.respond(run, "chooses", chosen_options=["b"], map_index=0)
        ended = await bench.end(run)
    assert ended.state == "success"
    assert [ended.xcom("chooses", map_index=index)["chosen_options"] for index in (0, 1)] == [["b"], ["a", "c"]]
    assert all(not ti.lost_attempts for ti in ended.result.snapshot.task_instances)


async def test_without_an_answer_the_defaults_count_or_the_task_fails(bench: RunBench) -> None:
    ended = await bench.run(ASKS, "asks_in_vain")
    assert ended.states == {"by_default": "success", "fails_twice": "failed", "lacks_a_key": "failed"}
    given = ended.xcom("by_default")
    assert (given["chosen_options"], given["params_input"]) == (["b"], {"number": 5})
    assert given["responded_by_user"] is None
    assert ended.tries == {"by_default": 1, "fails_twice": 2, "lacks_a_key": 1}
    assert "Set AIRFLOW__CORE__FERNET_KEY" in (ended.task("lacks_a_key").error or "")
    assert "HITLTimeoutError" in (ended.task("fails_twice").error or "")


async def test_a_cancelled_run_waits_for_nobody(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(ASKS, "asks_for_approval")
        await asked(bench, run, "approves")
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert ended.states == {"approves": "failed", "after": "skipped"}


async def test_a_task_may_wait_for_its_answer_in_a_trigger(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(ASKS, "asks_in_triggers")
        await asked(bench, run, "answered")
        record = await bench.client.record(run)
        assert record.task_instances[0].state == TaskInstanceState.DEFERRED
        await bench.client.respond(run, "answered", chosen_options=["yes"])
        ended = await bench.end(run)
    assert ended.xcom("answered") == ["kept", ["yes"], False]
    assert ended.xcom("by_default") == ["kept", ["no"], True]


async def test_what_is_asked_holds_no_secrets(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(ASKS, "asks_with_secrets")
        request = (await asked(bench, run, "asks"))["asks"]
        history = str(await bench.history(run))
        await bench.client.respond(run, "asks", chosen_options=["no"])
        await bench.end(run)
    assert (request.subject, request.body) == ("The word is ***", "Don't tell: ***")
    assert request.params["token"]["value"] == "***"
    assert request.params["token"]["schema"] == {"type": "string"}
    assert "s3cret" not in history
