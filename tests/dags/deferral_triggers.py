"""Triggers of this bundle, found as a module beside the DAG files."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from airflow.sdk import BaseHook, Variable
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

SCRATCH = Path(os.environ.get("TASK_TEST_SCRATCH", "/nonexistent"))


class Scripted(BaseTrigger):
    """Does what its script says."""

    def __init__(self, script, payload=None):
        super().__init__()
        self.script = script
        self.payload = payload

    def serialize(self):
        return "deferral_triggers.Scripted", {"script": self.script, "payload": self.payload}

    def run(self):
        return getattr(self, self.script)()

    def note(self, text):
        with (SCRATCH / f"trigger-{self.script}").open("a") as notes:
            notes.write(f"{text}\n")

    async def on_kill(self):
        self.note("on_kill")

    async def cleanup(self):
        self.note("cleanup")

    async def fire(self):
        yield TriggerEvent(self.payload)

    async def fire_twice(self):
        yield TriggerEvent("first")
        yield TriggerEvent("second")
        await asyncio.sleep(600)

    async def tell(self):
        ti = self.task_instance
        yield TriggerEvent([ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number, str(ti.id)])

    async def fail(self):
        ti = self.task_instance
        XCom.set("tried", 1, dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index)
        raise ValueError(f"{BaseHook.get_connection('vault').password} was refused")
        yield

    async def end_silently(self):
        await asyncio.sleep(0)
        return
        yield

    async def exit(self):
        raise SystemExit(3)
        yield

    async def fire_an_object(self):
        yield TriggerEvent(object())

    async def succeed(self):
        yield TaskSuccessEvent(xcoms={"return_value": {"from": "trigger"}, "rows": 5})

    async def give_up(self):
        yield TaskFailedEvent()

    async def skip(self):
        yield TaskSkippedEvent()

    async def hang(self):
        self.note("hangs")
        await asyncio.sleep(600)
        yield

    async def block(self):
        self.note("blocks")
        time.sleep(600)  # noqa: ASYNC251
        yield

    async def look_up(self):
        """Connection and variable: in the middle of the trigger, in a thread, and asynchronously."""
        found = [BaseHook.get_connection("vault").password, Variable.get("present")]
        found += [await sync_to_async(Variable.get)("present")]
        found += [await asyncio.get_running_loop().run_in_executor(None, Variable.get, "present")]
        found += [(await BaseHook.aget_connection("vault")).login]
        try:
            Variable.get("absent")
        except Exception as error:  # noqa: BLE001
            found += [str(error)]
        self.log.info("the password is %s", found[0])
        yield TriggerEvent(found)

    async def exchange(self):
        """XComs: reads one of the run, writes one."""
        ti = self.task_instance
        where = {"dag_id": ti.dag_id, "run_id": ti.run_id}
        value = await sync_to_async(XCom.get_one)(key="return_value", task_id="upstream", **where)
        XCom.set(key="seen", value=value, task_id=ti.task_id, map_index=ti.map_index, **where)
        yield TriggerEvent(value)
