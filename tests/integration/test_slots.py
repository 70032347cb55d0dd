"""The process tree as the worker sees it: template, slots and pool; what dies with whom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from airflow.callbacks.callback_requests import DagCallbackRequest
from airflow.utils.state import TaskInstanceState

from task_bench import TaskBench, eventually, open_task_bench
from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.models import BundleReference, CallbackInput, LoadDagInput, LoadFailure
from temporal_airflow.tasks.bundles import BUNDLE_NAME
from temporal_airflow.tasks.messages import CallbacksDone, Cancel, LoadDag, Loaded, RunCallbacks, TaskDone
from temporal_airflow.tasks.slots import ProcessTemplate, SlotPool

DRIVER = """
    import asyncio, os, sys
    from temporal_airflow.tasks.messages import RunTask
    from temporal_airflow.tasks.slots import ProcessTemplate, SlotPool

    async def main():
        async with ProcessTemplate.start(os.environ) as template:
            async with SlotPool(template, 1).slot() as slot:
                await slot.send(RunTask.model_validate_json(sys.stdin.readline()))
                while True:
                    await slot.receive()

    asyncio.run(main())
"""
"""A worker in miniature: runs one task until it is killed."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["fork", "reuse"])
async def shared_bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TaskBench]:
    async with open_task_bench(tmp_path_factory.mktemp("airflow_home"), request.param) as bench:
        yield bench


@pytest.fixture
def tasks(shared_bench: TaskBench) -> TaskBench:
    return shared_bench.cleared()


def running(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_running(pid)]


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def noted_pids(tasks: TaskBench, name: str) -> list[int]:
    note = tasks.scratch / name
    await eventually(lambda: note.exists() and note.read_text().strip(), f"the task writes {name}")
    return [int(pid) for pid in note.read_text().split()]


async def test_a_slot_is_used_again(tasks: TaskBench) -> None:
    async with tasks.pool.slot() as first:
        pass
    async with tasks.pool.slot() as second:
        assert second is first


async def test_no_more_slots_than_the_maximum(tasks: TaskBench) -> None:
    pool = SlotPool(tasks.template, maximum=1)
    async with pool.slot():
        waiting = asyncio.create_task(pool.slot().__aenter__())
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
    await waiting
    await pool.close()


async def test_slots_wait_and_others_are_given_up(tasks: TaskBench) -> None:
    pool = SlotPool(tasks.template, maximum=3, waiting=1, idle_patience=0.2)
    pool.prepare()
    await eventually(lambda: len(pool.idle_pids()) == 1, "a slot waits before it is needed")
    (waiting,) = pool.idle_pids()
    async with pool.slot() as first, pool.slot() as second, pool.slot() as third:
        used = {first.pid, second.pid, third.pid}
        assert waiting in used
        assert pool.idle_pids() == []  # the maximum is in use
    await eventually(lambda: len(running(list(used))) == 1, "the idle ones are given up but for one")
    await pool.close()
    assert not running(list(used))


async def test_short_tasks_on_a_busy_machine_share_few_slots(tasks: TaskBench) -> None:
    pool = SlotPool(tasks.template, maximum=8, spare=lambda: 0.0)
    used = set()

    async def use() -> None:
        async with pool.slot() as slot:
            used.add(slot.pid)
            await asyncio.sleep(0.05)

    await asyncio.gather(*(use() for _ in range(40)))
    assert 1 <= len(used) <= (os.cpu_count() or 1)
    await pool.close()


async def test_slots_that_wait_do_not_pile_up_on_a_busy_machine(tasks: TaskBench) -> None:
    pool = SlotPool(tasks.template, maximum=8, waiting=2, spare=lambda: 0.0)
    for _ in range(10):
        async with pool.slot(), pool.slot():
            await asyncio.sleep(0.1)
    assert 2 <= len(pool.idle_pids()) <= max(2, os.cpu_count() or 1)
    await pool.close()


@pytest.mark.parametrize("spare", [0.0, 1.0])
async def test_tasks_that_last_get_a_slot_each(tasks: TaskBench, spare: float) -> None:
    many = (os.cpu_count() or 1) + 1
    pool = SlotPool(tasks.template, maximum=many, spare=lambda: spare)
    async with contextlib.AsyncExitStack() as stack:
        slots = [await stack.enter_async_context(pool.slot()) for _ in range(many)]
        assert len({slot.pid for slot in slots}) == many
    await pool.close()


async def test_a_slot_that_is_killed_is_replaced_before_it_is_needed(tasks: TaskBench) -> None:
    pool = SlotPool(tasks.template, maximum=2, waiting=1)
    async with pool.slot() as slot:
        await eventually(lambda: len(pool.idle_pids()) == 1, "another one waits")
        (successor,) = pool.idle_pids()
        slot.kill()
    async with pool.slot() as next_slot:
        assert next_slot.pid == successor != slot.pid
    await pool.close()


async def test_a_pool_says_how_much_memory_it_took(tasks: TaskBench, caplog: pytest.LogCaptureFixture) -> None:
    pool = SlotPool(tasks.template, maximum=1)
    async with pool.slot() as slot:
        await slot.send(tasks.run_task(tasks.task("nothing")))
        await tasks.reply(slot)
    with caplog.at_level("INFO", logger="temporal_airflow.tasks.slots"):
        await pool.close()
    assert re.search(r"Memory: 1 slots with \d+ MB each", caplog.text)


async def test_a_slot_is_replaced_after_so_many_uses(tasks: TaskBench) -> None:
    pool = SlotPool(tasks.template, maximum=1, max_uses=2)
    pids = []
    for _ in range(3):
        async with pool.slot() as slot:
            pids.append(slot.pid)
    assert pids[0] == pids[1] != pids[2]
    await eventually(lambda: not running([pids[0]]), "the worn slot ends")
    await pool.close()


async def test_a_slot_that_dies_idle_is_replaced_unnoticed(tasks: TaskBench) -> None:
    async with tasks.pool.slot() as slot:
        pass
    os.kill(slot.pid, signal.SIGKILL)
    await eventually(lambda: not slot.alive, "the death is noticed")
    assert (await tasks.run("nothing")).result.state == TaskInstanceState.SUCCESS


async def test_a_slot_that_dies_at_work_is_a_lost_process(tasks: TaskBench) -> None:
    pids: list[int] = []

    async def use_a_slot_that_dies() -> None:
        async with tasks.pool.slot() as slot:
            await slot.send(tasks.run_task(tasks.task("stubborn")))
            pids.extend(await noted_pids(tasks, "stubborn"))
            os.kill(slot.pid, signal.SIGKILL)
            await tasks.reply(slot)

    with pytest.raises(ProcessLostError):
        await use_a_slot_that_dies()
    assert pids
    assert not running(pids)
    assert (await tasks.run("nothing")).result.state == TaskInstanceState.SUCCESS


async def test_a_killed_slot_takes_everything_below_it_along(tasks: TaskBench) -> None:
    slot = await tasks.template.fork_slot()
    await slot.send(tasks.run_task(tasks.task("stubborn")))
    pids = await noted_pids(tasks, "stubborn")
    assert os.getsid(pids[1]) == pids[1]  # in a session of its own
    slot.kill()
    await slot.wait_closed()
    assert not running([slot.pid, *pids])


async def test_an_exception_in_the_worker_kills_the_slot(tasks: TaskBench) -> None:
    pids: list[int] = []

    async def use_a_slot_and_fail() -> None:
        async with tasks.pool.slot() as slot:
            await slot.send(tasks.run_task(tasks.task("stubborn")))
            pids.extend([slot.pid, *await noted_pids(tasks, "stubborn")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use_a_slot_and_fail()
    assert pids
    assert not running(pids)


async def test_strays_of_a_task_that_failed_are_swept(tasks: TaskBench) -> None:
    async with tasks.pool.slot() as slot:
        await slot.send(tasks.run_task(tasks.task("stubborn")))
        task, stray = await noted_pids(tasks, "stubborn")
        os.kill(task, signal.SIGKILL)
        reply = await tasks.reply(slot)
        assert isinstance(reply, TaskDone)
        assert reply.result.error == "Process was killed by SIGKILL"
        assert not running([stray])


async def test_nothing_survives_a_worker_that_is_killed(tasks: TaskBench) -> None:
    driver = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", textwrap.dedent(DRIVER)], env=tasks.environment, stdin=subprocess.PIPE, text=True
    )
    assert driver.stdin is not None
    with driver, driver.stdin:
        driver.stdin.write(tasks.run_task(tasks.task("stubborn")).model_dump_json() + "\n")
        driver.stdin.flush()
        try:
            pids = await noted_pids(tasks, "stubborn")
            below = [process.pid for process in psutil.Process(driver.pid).children(recursive=True)]
        finally:
            driver.kill()
        assert set(pids) <= set(below)
        killed = time.monotonic()
        await eventually(lambda: not running(below), "everything below the worker is gone")
        assert time.monotonic() - killed < 2


async def test_ctrl_c_reaches_the_worker_only(tasks: TaskBench) -> None:
    slot = await tasks.template.fork_slot()
    assert os.getpgid(slot.pid) != os.getpgid(0)
    os.killpg(os.getpgid(slot.pid), signal.SIGINT)
    os.killpg(os.getpgid(slot.pid), signal.SIGTERM)
    await slot.send(tasks.run_task(tasks.task("nothing")))
    assert isinstance(await tasks.reply(slot), TaskDone)
    slot.kill()
    await slot.wait_closed()


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="no huge pages here")
async def test_forks_copy_the_page_tables_of_huge_pages(tasks: TaskBench) -> None:
    slot = await tasks.template.fork_slot()
    usage = dict(re.findall(r"(\w+): +(\d+) kB", Path(f"/proc/{slot.pid}/smaps_rollup").read_text()))
    slot.kill()
    await slot.wait_closed()
    assert int(usage["AnonHugePages"]) > 0  # how many depends on the memory that is free in one piece


async def test_a_template_that_is_stopped_while_it_starts_is_lost(tasks: TaskBench) -> None:
    async with ProcessTemplate.start(tasks.environment) as template:
        waiting = asyncio.create_task(template.fork_slot())
        await asyncio.sleep(0)
    with pytest.raises(ProcessLostError, match="before it was ready"):
        await waiting


async def test_an_airflow_that_cannot_start_says_why(tasks: TaskBench, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "airflow_local_settings.py").write_text("raise ValueError('broken settings')")
    async with ProcessTemplate.start(tasks.environment | {"AIRFLOW_HOME": str(tmp_path)}) as template:
        with pytest.raises(ProcessLostError, match="broken settings"):
            await template.ready()
        with pytest.raises(ProcessLostError, match="broken settings"):
            await template.fork_slot()


@pytest.mark.parametrize("victim", ["template", "guardian"])
async def test_a_template_that_dies_takes_its_tasks_along_and_is_replaced(tasks: TaskBench, victim: str) -> None:
    async with ProcessTemplate.start(tasks.environment) as template:
        slot = await template.fork_slot()
        await slot.send(tasks.run_task(tasks.task("stubborn")))
        task, stray = await noted_pids(tasks, "stubborn")
        parent = psutil.Process(slot.pid).parent()
        assert parent is not None
        os.kill(parent.pid if victim == "template" else parent.ppid(), signal.SIGKILL)
        with pytest.raises(ProcessLostError):
            await tasks.reply(slot)
        slot.kill()
        await slot.wait_closed()
        await eventually(lambda: not running([slot.pid, task]), "slot and task die with it")
        if victim == "template":
            await eventually(lambda: not running([stray]), "the guardian sweeps what is in other sessions")
        else:
            os.kill(stray, signal.SIGKILL)  # the one thing nobody is left to find
        successor = await template.fork_slot()
        await successor.send(tasks.run_task(tasks.task("nothing")))
        assert isinstance(await tasks.reply(successor), TaskDone)
        successor.kill()


async def test_a_fork_that_nobody_waits_for_any_more_is_killed(tasks: TaskBench) -> None:
    slot = await tasks.template.fork_slot()
    template = psutil.Process(slot.pid).parent()
    assert template is not None
    before = {process.pid for process in template.children()}
    forking = asyncio.create_task(tasks.template.fork_slot())
    await eventually(lambda: {process.pid for process in template.children()} > before, "a slot is forked")
    forking.cancel()
    await asyncio.wait([forking])
    if not forking.cancelled():
        forking.result().kill()
    await eventually(lambda: {process.pid for process in template.children()} == before, "and killed")
    slot.kill()
    await slot.wait_closed()


async def test_cancelled_callbacks_are_killed(tasks: TaskBench) -> None:
    async with tasks.pool.slot() as slot:
        await slot.send(callbacks(tasks, is_failure_callback=False, file="slow_callbacks.py"))
        pids = await noted_pids(tasks, "slow_callback")
        await slot.send(Cancel())
        reply = await tasks.reply(slot)
        assert isinstance(reply, CallbacksDone)
        assert reply.error == "The callbacks were cancelled"
        assert not running(pids)


async def test_a_slot_that_loaded_a_dag_file_serves_nothing_else(tasks: TaskBench) -> None:
    request = LoadDag(input=LoadDagInput(path=str(tasks.home / "absent.py"), now=datetime.now(UTC)))
    reply = await tasks.request(request)
    assert isinstance(reply, Loaded)
    assert isinstance(reply.outcome, LoadFailure)
    assert reply.outcome.kind == "DagFileError"
    assert not reply.reusable


async def test_a_dag_callback_runs(tasks: TaskBench) -> None:
    reply = await tasks.request(callbacks(tasks, is_failure_callback=False))
    assert isinstance(reply, CallbacksDone)
    assert (reply.exit_code, reply.error) == (0, None)
    run_id, reason = (tasks.scratch / "dag_callback").read_text().split()
    log = tasks.log_folder / "dag_id=dag_callbacks" / f"run_id={run_id}" / "callbacks.log"
    assert reason == "success"
    assert "Executing on_success dag callback" in log.read_text()


async def test_a_callback_that_crashes_is_an_error(tasks: TaskBench) -> None:
    reply = await tasks.request(callbacks(tasks, is_failure_callback=True))
    assert isinstance(reply, CallbacksDone)
    assert reply.exit_code == 9
    assert reply.error == "The process of the callbacks ended with exit code 9"


def callbacks(tasks: TaskBench, *, is_failure_callback: bool, file: str = "dag_callbacks.py") -> RunCallbacks:
    run = tasks.task("only", file=file).run
    request = DagCallbackRequest(
        filepath=file,
        bundle_name=BUNDLE_NAME,
        bundle_version=None,
        dag_id=run.dag_id,
        run_id=run.run_id,
        is_failure_callback=is_failure_callback,
        msg="success",
    )
    bundle = BundleReference(name=BUNDLE_NAME, relative_fileloc=file)
    callback = CallbackInput(run=run, bundle=bundle, label="DAG callback", request=request.to_json())
    return RunCallbacks(input=callback, large_xcom_path=f"file://{tasks.home}/xcom")
