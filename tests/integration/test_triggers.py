"""Deferral without Temporal: a task that defers, its trigger in the trigger host, and the task that goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import pytest_asyncio
from airflow.utils.state import DagRunState, TaskInstanceState
from cryptography.fernet import Fernet

from task_bench import A_DATE, TaskBench, a_run, task_environment
from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.models import (
    DagRunRecord,
    Deferral,
    TaskExecutionInput,
    TaskExecutionResult,
    TriggerInput,
    TriggerResult,
    XComRecord,
    XComValue,
)
from temporal_airflow.tasks import sealing
from temporal_airflow.tasks.messages import Answer, Ask
from temporal_airflow.tasks.slots import ProcessTemplate, SlotPool
from temporal_airflow.tasks.triggers import connection
from temporal_airflow.tasks.triggers.connection import TriggerBrokenError
from temporal_airflow.tasks.triggers.pool import TriggerPool
from waiting import until

State = TaskInstanceState
FILE = "deferrals.py"
KEY = Fernet.generate_key().decode()
OTHER_KEY = Fernet.generate_key().decode()
FAIL = "__fail__"
SINCE = datetime(2026, 5, 1, tzinfo=UTC).isoformat()


@dataclass
class TriggerBench:
    """Tasks in slots, triggers in a host, and the test in the place of the worker."""

    tasks: TaskBench
    triggers: TriggerPool
    beats: list[float] = field(default_factory=list)

    @property
    def host(self) -> psutil.Process:
        """The process of the trigger host."""
        assert self.triggers._host is not None
        return psutil.Process(self.triggers._host._process.pid)

    async def attempt(self, task_id: str, **fields: Any) -> TaskExecutionResult:
        return (await self.tasks.run(task_id, file=FILE, **fields)).result

    async def deferral(self, task_id: str, **fields: Any) -> Deferral:
        result = await self.attempt(task_id, **fields)
        assert (result.state, result.error) == (State.DEFERRED, None)
        assert result.deferral is not None
        return result.deferral

    async def wait(self, deferral: Deferral, **fields: Any) -> TriggerResult:
        return await self.triggers.run(self.input(deferral, **fields), self.beat, self.answer)

    def input(self, deferral: Deferral, **fields: Any) -> TriggerInput:
        """The input of a wait; the task that waits is only named, it needn't exist."""
        task = self.tasks.task(fields.pop("task_id", "some_task"), file=FILE, **fields)
        return trigger_input(task, deferral)

    def beat(self) -> None:
        self.beats.append(time.monotonic())

    async def answer(self, ask: Ask) -> Answer:
        self.tasks.questions.append(ask.question)
        return self.tasks._answer(ask)

    async def run_to_end(self, task_id: str, **fields: Any) -> TaskExecutionResult:
        """A try with all its waits."""
        task = self.tasks.task(task_id, file=FILE, **fields)
        while (result := await self._attempt(task)).deferral:
            outcome = await self.triggers.run(trigger_input(task, result.deferral), self.beat, self.answer)
            went_on = {
                "next_method": outcome.next_method,
                "next_kwargs": outcome.next_kwargs,
                "start_date": result.start_date,
            }
            task = task.model_copy(update=went_on)
        return result

    async def _attempt(self, task: TaskExecutionInput) -> TaskExecutionResult:
        reply = await self.tasks.request(self.tasks.run_task(task))
        result: TaskExecutionResult = reply.result  # type: ignore[union-attr]
        return result

    def notes(self, script: str) -> list[str]:
        """What the trigger with a script noted."""
        file = self.tasks.scratch / f"trigger-{script}"
        return file.read_text().split() if file.exists() else []


def trigger_input(task: TaskExecutionInput, deferral: Deferral) -> TriggerInput:
    timeout = None if deferral.timeout is None else datetime.now(UTC) + timedelta(seconds=deferral.timeout)
    return TriggerInput(
        task_instance_id=task.task_instance_id,
        dag_version_id=task.dag_version_id,
        run=task.run,
        run_start_date=A_DATE,
        bundle=task.bundle,
        task_id=task.task_id,
        map_index=task.map_index,
        try_number=task.try_number,
        deferral=deferral,
        timeout_after=timeout,
    )


def scripted(script: str, **fields: Any) -> Deferral:
    return a_deferral("deferral_triggers.Scripted", {"script": script}, **fields)


def a_deferral(classpath: str, kwargs: dict[str, Any], **fields: Any) -> Deferral:
    return Deferral(classpath=classpath, trigger_kwargs=sealed(kwargs), next_method="resume", **fields)


def sealed(value: object) -> str:
    return Fernet(KEY).encrypt(json.dumps(value).encode()).decode()


def opened(text: str | None) -> Any:
    assert text is not None
    return json.loads(Fernet(KEY).decrypt(text))


def value(result: TaskExecutionResult, key: str = "return_value") -> Any:
    return {record.key: json.loads(record.content.value or "") for record in result.xcoms if record.content}.get(key)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TriggerBench]:
    home = tmp_path_factory.mktemp("airflow_home")
    (home / "scratch").mkdir()
    environment = task_environment(home) | {"AIRFLOW__CORE__FERNET_KEY": KEY}
    async with ProcessTemplate.start(environment) as template:
        pool, triggers = SlotPool(template, maximum=2), TriggerPool(template)
        yield TriggerBench(TaskBench(pool, template, environment, home, home / "scratch"), triggers)
        await triggers.close()
        await pool.close()


@pytest.fixture
def bench(shared_bench: TriggerBench) -> TriggerBench:
    shared_bench.tasks.cleared()
    shared_bench.beats.clear()
    return shared_bench


async def test_a_task_that_defers_says_what_it_waits_for(bench: TriggerBench) -> None:
    result = await bench.attempt("times_out")
    assert result.state == State.DEFERRED
    deferral = result.deferral
    assert deferral is not None
    assert (deferral.classpath, deferral.next_method) == ("deferral_triggers.Scripted", "resume")
    assert (deferral.timeout, deferral.queue) == (1.0, None)
    assert opened(deferral.trigger_kwargs) == {"script": "hang", "payload": None}
    assert [record.key for record in result.xcoms] == ["before"]
    assert (result.error, result.exit_code) == (None, 0)


async def test_what_travels_is_encrypted(bench: TriggerBench) -> None:
    result = await bench.attempt("fire")
    travelling = result.model_dump_json()
    assert "s3cr3t" not in travelling
    assert result.deferral is not None
    assert opened(result.deferral.trigger_kwargs)["payload"]["password"] == "trigger-s3cr3t"
    assert opened(result.deferral.next_kwargs)["password"] == "next-s3cr3t"
    outcome = await bench.wait(result.deferral)
    assert "s3cr3t" not in outcome.model_dump_json()


async def test_without_a_key_arguments_travel_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models.crypto import _NullFernet

    monkeypatch.setattr(sealing, "get_fernet", _NullFernet)
    assert sealing.seal({"a": "ü"}) == '{"a": "\\u00fc"}'
    assert sealing.unseal(sealing.seal({"a": "ü"})) == {"a": "ü"}


async def test_the_event_resumes_the_task(bench: TriggerBench) -> None:
    deferred = await bench.attempt("fire")
    assert deferred.deferral is not None
    outcome = await bench.wait(deferred.deferral)
    assert (outcome.next_method, outcome.end_state, outcome.xcoms) == ("resume", None, ())
    result = await bench.attempt(
        "fire", next_method="resume", next_kwargs=outcome.next_kwargs, start_date=deferred.start_date
    )
    assert (result.state, result.error) == (State.SUCCESS, None)
    assert result.start_date == deferred.start_date
    assert value(result) == [SINCE, "next-s3cr3t", {"password": "trigger-s3cr3t", "pair": [1, 2]}]
    assert value(result, "before") is None


@pytest.mark.parametrize("task_id", ["is_past", "waits_a_while"])
async def test_stock_operators_and_triggers(bench: TriggerBench, task_id: str) -> None:
    result = await bench.run_to_end(task_id)
    assert (result.state, result.error) == (State.SUCCESS, None)


async def test_several_deferrals_in_a_row(bench: TriggerBench) -> None:
    result = await bench.run_to_end("waits_thrice")
    assert value(result) == [None, 1, 2, 3]


async def test_only_the_first_event_counts(bench: TriggerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await bench.wait(scripted("fire_twice"))
    assert opened(outcome.next_kwargs)["event"] == "first"
    await until("the trigger is cleaned up", lambda: bench.notes("fire_twice") == ["cleanup"])


async def test_a_trigger_knows_its_task(bench: TriggerBench) -> None:
    deferral = await bench.deferral("mapped", map_index=1)
    wait = bench.input(deferral, task_id="mapped", map_index=1, try_number=2)
    outcome = await bench.triggers.run(wait, bench.beat, bench.answer)
    told = opened(outcome.next_kwargs)["event"]
    assert told == ["deferrals", wait.run.run_id, "mapped", 1, 2, str(wait.task_instance_id)]


async def test_a_deferred_try_keeps_its_rendered_map_index(bench: TriggerBench) -> None:
    result = await bench.attempt("mapped", map_index=1)
    assert result.rendered_map_index == "number 1"


async def test_a_trigger_that_raises_fails_its_task(bench: TriggerBench) -> None:
    outcome = await bench.wait(scripted("fail"))
    assert outcome.next_method == FAIL
    told = opened(outcome.next_kwargs)
    assert told["error"] == "Trigger failure"
    assert told["traceback"][0] == "Traceback (most recent call last):\n"
    assert told["traceback"][-1] == "ValueError: *** was refused\n"
    assert [record.key for record in outcome.xcoms] == ["tried"]
    result = await bench.run_to_end("fail", should_retry=True, max_tries=1)
    assert (result.state, result.error) == (State.UP_FOR_RETRY, "TaskDeferralError: Trigger failure")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("end_silently", None),
        ("exit", "TriggerExitedError: The trigger called for an exit: SystemExit(3)\n"),
        ("fire_an_object", "NotImplementedError: Objects of type <class 'object'> are not supported\n"),
        ("no_such_script", "AttributeError: 'Scripted' object has no attribute 'no_such_script'\n"),
    ],
)
async def test_a_trigger_that_never_fires_fails_its_task(bench: TriggerBench, script: str, reason: str | None) -> None:
    outcome = await bench.wait(scripted(script))
    told = opened(outcome.next_kwargs)
    assert (outcome.next_method, told["error"]) == (FAIL, "Trigger failure")
    last = told["traceback"][-1] if told["traceback"] else ""
    assert reason in last if reason else not last


@pytest.mark.parametrize(
    ("classpath", "kwargs", "reason"),
    [
        ("no_such_module.Trigger", {}, "ModuleNotFoundError"),
        ("deferral_triggers.NoSuchTrigger", {}, "ImportError"),
        ("deferral_triggers.Scripted", {"unknown": 1}, "TypeError"),
    ],
)
async def test_a_trigger_that_cannot_be_made_fails_its_task(
    bench: TriggerBench, classpath: str, kwargs: dict[str, Any], reason: str
) -> None:
    outcome = await bench.wait(a_deferral(classpath, kwargs))
    told = opened(outcome.next_kwargs)
    assert (outcome.next_method, told["error"]) == (FAIL, "Trigger failure")
    assert told["traceback"][-1].startswith(reason)


async def test_a_wait_that_takes_too_long_fails_its_task(bench: TriggerBench) -> None:
    deferral = await bench.deferral("times_out")
    outcome = await bench.wait(deferral)
    assert (outcome.next_method, opened(outcome.next_kwargs)) == (FAIL, {"error": "Trigger timeout"})
    await until("the trigger is cleaned up", lambda: bench.notes("hang") == ["hangs", "cleanup"])
    result = await bench.run_to_end("times_out")
    assert (result.state, result.error) == (State.FAILED, "TaskDeferralTimeout: Trigger timeout")


@pytest.mark.parametrize(
    ("script", "state", "xcoms"),
    [
        ("succeed", State.SUCCESS, {"return_value": {"from": "trigger"}, "rows": 5}),
        ("give_up", State.FAILED, {}),
        ("skip", State.SKIPPED, {}),
    ],
)
async def test_a_trigger_that_ends_its_task(
    bench: TriggerBench, script: str, state: TaskInstanceState, xcoms: dict[str, Any]
) -> None:
    outcome = await bench.wait(scripted(script), task_id="mapped", map_index=1)
    assert (outcome.next_method, outcome.next_kwargs, outcome.end_state) == (None, None, state)
    assert {record.key: json.loads(record.content.value or "") for record in outcome.xcoms if record.content} == xcoms
    assert {(record.task_id, record.map_index) for record in outcome.xcoms} <= {("mapped", 1)}


@pytest.mark.parametrize(("by_user", "notes"), [(True, ["hangs", "on_kill", "cleanup"]), (False, ["hangs", "cleanup"])])
async def test_a_cancelled_trigger_tidies_up(bench: TriggerBench, by_user: bool, notes: list[str]) -> None:
    wait = bench.input(scripted("hang"))
    waiting = asyncio.create_task(bench.triggers.run(wait, bench.beat, bench.answer, lambda: by_user))
    await until("the trigger runs", lambda: bench.notes("hang"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bench.notes("hang") == notes


async def test_a_trigger_looks_up_connections_and_variables(bench: TriggerBench) -> None:
    outcome = await bench.wait(scripted("look_up"))
    here = "from the environment"
    *found, missing = opened(outcome.next_kwargs)["event"]
    assert found == ["s3cr3t-passw0rd", here, here, here, "user"]
    assert "absent" in missing


async def test_a_trigger_logs_beside_its_task_and_masked(bench: TriggerBench) -> None:
    run = a_run("deferrals")
    await bench.wait(scripted("look_up"), run=run, task_id="look_up")
    folder = bench.tasks.log_folder / f"dag_id=deferrals/run_id={run.run_id}/task_id=look_up"
    (log,) = folder.iterdir()
    assert log.name == f"attempt=1.log.trigger.{bench.host.pid}.log"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert "the password is ***" in [event["event"] for event in events]
    assert "passw0rd" not in log.read_text()
    assert {event["task_id"] for event in events} == {"look_up"}
    assert [event["result"] for event in events if event["event"] == "Trigger fired event"] != []


async def test_a_trigger_reads_and_writes_xcoms(bench: TriggerBench) -> None:
    bench.tasks.xcoms = (XComRecord(task_id="upstream", key="return_value", content=XComValue(value='{"answer": 42}')),)
    outcome = await bench.wait(scripted("exchange"), task_id="exchange")
    assert opened(outcome.next_kwargs)["event"] == {"answer": 42}
    (written,) = outcome.xcoms
    assert (written.task_id, written.key) == ("exchange", "seen")
    assert written.content == XComValue(value='{"answer": 42}')


async def test_a_trigger_waits_for_another_run(bench: TriggerBench) -> None:
    run = a_run("deferrals")
    bench.tasks.runs["other"] = record = DagRunRecord(run=run, state=DagRunState.RUNNING, start_date=A_DATE)
    ending = asyncio.create_task(bench.run_to_end("waits_for_run"))
    await until("the trigger asks", lambda: len(bench.tasks.questions) > 2)
    assert not ending.done()
    bench.tasks.runs["other"] = record.model_copy(update={"state": DagRunState.SUCCESS})
    assert (await ending).state == State.SUCCESS


async def test_a_question_that_cannot_be_answered_is_the_triggers_failure(bench: TriggerBench) -> None:
    async def refuse(_ask: Ask) -> Answer:
        raise ValueError("no idea")

    outcome = await bench.triggers.run(bench.input(scripted("exchange")), bench.beat, refuse)
    assert "no idea" in opened(outcome.next_kwargs)["traceback"][-1]


async def test_another_key_is_the_workers_fault(bench: TriggerBench) -> None:
    foreign = scripted("fire").model_copy(update={"trigger_kwargs": Fernet(OTHER_KEY).encrypt(b"{}").decode()})
    with pytest.raises(TriggerBrokenError, match="fernet_key"):
        await bench.wait(foreign)


async def test_a_host_beats_for_all_its_waits(bench: TriggerBench) -> None:
    await bench.wait(a_deferral(MOMENT, in_seconds(3)))
    assert 2 <= len(bench.beats) <= 5


MOMENT = "airflow.providers.standard.triggers.temporal.DateTimeTrigger"


def in_seconds(seconds: float) -> dict[str, Any]:
    return {"target_time": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}


async def test_five_hundred_triggers_in_one_host(bench: TriggerBench) -> None:
    began = time.monotonic()
    waits = [asyncio.create_task(bench.wait(a_deferral(MOMENT, in_seconds(1 + number % 5)))) for number in range(500)]
    results = await asyncio.gather(*waits)
    took = time.monotonic() - began
    memory = bench.host.memory_full_info()
    print(f"500 triggers of 1-5 s: {took:.2f} s, PSS {memory.pss / 1e6:.0f} MB, RSS {memory.rss / 1e6:.0f} MB")
    assert {result.next_method for result in results} == {"resume"}
    assert took < 30
    assert memory.rss < 300e6


async def test_waits_in_a_host_that_dies_are_lost_and_the_next_gets_another(bench: TriggerBench) -> None:
    waits = [asyncio.create_task(bench.wait(scripted("hang"))) for _ in range(3)]
    await until("the triggers run", lambda: len(bench.notes("hang")) == 3)
    killed = bench.host.pid
    os.kill(killed, signal.SIGKILL)
    for wait in waits:
        with pytest.raises(ProcessLostError, match=f"{killed} that hosted triggers is gone"):
            await wait
    assert (await bench.wait(scripted("fire"))).next_method == "resume"
    assert bench.host.pid != killed


async def test_a_host_that_is_blocked_is_killed(bench: TriggerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = TriggerPool(bench.tasks.template)
    monkeypatch.setattr(connection, "LONGEST_SILENCE", 3.0)
    with pytest.raises(ProcessLostError, match="blocked its event loop"):
        await pool.run(bench.input(scripted("block")), bench.beat, bench.answer)
    assert bench.notes("block") == ["blocks"]
    assert (await pool.run(bench.input(scripted("fire")), bench.beat, bench.answer)).next_method == "resume"
    await pool.close()


async def test_a_host_that_is_idle_goes(bench: TriggerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = TriggerPool(bench.tasks.template)
    await pool.run(bench.input(scripted("fire")), bench.beat, bench.answer)
    assert pool._host is not None
    idle = psutil.Process(pool._host._process.pid)
    monkeypatch.setattr(connection, "LONGEST_IDLE", 0.1)
    await pool.run(bench.input(scripted("fire")), bench.beat, bench.answer)
    await until("the idle host is gone", lambda: not idle.is_running() or idle.status() == psutil.STATUS_ZOMBIE)
    assert (await pool.run(bench.input(scripted("fire")), bench.beat, bench.answer)).next_method == "resume"
    await pool.close()


async def test_a_pool_that_closes_loses_its_waits(bench: TriggerBench) -> None:
    pool = TriggerPool(bench.tasks.template)
    waiting = asyncio.create_task(pool.run(bench.input(scripted("hang")), bench.beat, bench.answer))
    await until("the trigger runs", lambda: bench.notes("hang"))
    await pool.close()
    with pytest.raises(ProcessLostError, match="was stopped"):
        await waiting
