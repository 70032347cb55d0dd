"""The trigger host: one process of a worker in which all its triggers run, as many as there are, on one event loop.

A slot becomes the host when it is told to. Triggers are user code: one that blocks the loop holds up all others, and
the heartbeats with them, since they come from the same loop. That is intended: the worker kills a host that is silent
for too long, and its waits start anew in another. The process never forks a task, so threads do no harm here.

It must not know what becomes of an outcome, nor who waits for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import structlog
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.sdk.execution_time import supervisor
from structlog.contextvars import bind_contextvars

from temporal_airflow.models import BundleReference, DeadlineCallbackInput, TriggerInput
from temporal_airflow.settings import load_settings
from temporal_airflow.tasks import logs, messages, process_tree
from temporal_airflow.tasks.execution_api import client as execution_api
from temporal_airflow.tasks.execution_api.client import ExecutionApi
from temporal_airflow.tasks.messages import Answer, Heartbeat, Message
from temporal_airflow.tasks.triggers import hosted_callback
from temporal_airflow.tasks.triggers.comms import TriggerComms, own_api
from temporal_airflow.tasks.triggers.hosted_trigger import HostedTrigger
from temporal_airflow.tasks.triggers.logs import TriggerLogs
from temporal_airflow.tasks.triggers.messages import (
    CallbackDone,
    CancelTrigger,
    StartCallback,
    StartTrigger,
    TriggerBroken,
    TriggerCancelled,
    TriggerDone,
    to_host,
)
from temporal_airflow.tasks.triggers.questions import Questions, TriggerAsker
from temporal_airflow.tasks.try_record import one_line

HEARTBEAT_INTERVAL = 1.0
"""Seconds between two heartbeats to the worker."""

log = structlog.get_logger(__name__)


def serve(connection: socket.socket) -> None:
    """Host triggers until the worker closes the connection."""
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"  # as Airflow's triggerer: user code runs here
    supervisor.ensure_secrets_backend_loaded()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(_serve(connection))  # and no more: threads of triggers must not keep the process
    process_tree.kill_descendants(os.getpid())


async def _serve(connection: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=connection, limit=messages.MAX_LINE)
    host = TriggerHost(writer)
    beating = asyncio.create_task(host.beat())
    try:
        with supervisor.set_supervisor_comms(TriggerComms(host.any_api)):
            while line := await reader.readline():
                host.take(line)
    except ConnectionResetError:
        log.debug("The worker is gone")
    finally:
        beating.cancel()


class TriggerHost:
    """The triggers of this process."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._questions = Questions(self._send_from_thread)
        self._large_xcom_path = load_settings().large_xcom_path
        self._logs = TriggerLogs()
        self._logs.configure()
        self._triggers: dict[int, HostedTrigger] = {}
        self._callbacks: dict[int, asyncio.Task[None]] = {}
        self._apis: dict[int, ExecutionApi] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._importable: set[tuple[str, str | None]] = set()
        self._importing = asyncio.Lock()

    def take(self, line: bytes) -> None:
        """Act on a message of the worker."""
        match to_host.validate_json(line):
            case StartTrigger(id=trigger, input=wait):
                running = asyncio.create_task(self._run(trigger, wait))
                self._running.add(running)
                running.add_done_callback(self._running.discard)
            case StartCallback(id=number, input=callback):
                self._callbacks[number] = asyncio.create_task(self._call(number, callback))
            case CancelTrigger(id=trigger) if trigger in self._callbacks:
                self._callbacks[trigger].cancel()
            case CancelTrigger(id=trigger, by_user=by_user):
                if hosted := self._triggers.get(trigger):
                    hosted.cancel(by_user=by_user)
            case Answer() as answer:
                self._questions.take(answer)

    def any_api(self) -> ExecutionApi:
        """The API of some trigger."""
        if not self._apis:
            raise RuntimeError("A thread called the Task SDK after all triggers had ended")
        return next(iter(self._apis.values()))

    async def beat(self) -> None:
        """Say that the loop turns, for as long as it does."""
        while True:
            self._send(Heartbeat())
            await asyncio.sleep(HEARTBEAT_INTERVAL)

    async def _run(self, trigger: int, wait: TriggerInput) -> None:
        bind_contextvars(
            trigger_id=trigger,
            ti_id=str(wait.task_instance_id),
            dag_id=wait.run.dag_id,
            task_id=wait.task_id,
            run_id=wait.run.run_id,
            try_number=wait.try_number,
            map_index=wait.map_index,
        )
        api = execution_api.for_trigger(wait, self._large_xcom_path, TriggerAsker(trigger, self._questions))
        own_api.set(api)
        self._apis[trigger] = api
        hosted = self._triggers[trigger] = HostedTrigger(trigger, wait, api.xcoms)
        try:
            self._open_log(trigger, wait)
            await self._make_importable(wait.bundle)
            result = await hosted.outcome()
            self._send(TriggerDone(id=trigger, result=result) if result else TriggerCancelled(id=trigger))
            await hosted.farewell()
        except Exception as error:
            log.exception("Trigger can't be hosted")
            self._send(TriggerBroken(id=trigger, error=one_line(f"{type(error).__name__}: {error}")))
        finally:
            del self._triggers[trigger], self._apis[trigger]
            await asyncio.to_thread(self._logs.close, trigger, hosted.task_instance)

    async def _call(self, number: int, callback: DeadlineCallbackInput) -> None:
        bind_contextvars(trigger_id=number, dag_id=callback.run.dag_id, run_id=callback.run.run_id)
        api = execution_api.for_trigger(callback, self._large_xcom_path, TriggerAsker(number, self._questions))
        own_api.set(api)
        self._apis[number] = api
        try:
            self._logs.open(number, logs.deadline_callback_log_path(callback.run, callback.callback_id))
            await self._make_importable(callback.bundle)
            self._send(CallbackDone(id=number, error=await hosted_callback.call(callback)))
        except asyncio.CancelledError:
            self._send(TriggerCancelled(id=number))
        except Exception as error:
            log.exception("Callback can't be hosted")
            self._send(TriggerBroken(id=number, error=one_line(f"{type(error).__name__}: {error}")))
        finally:
            del self._callbacks[number], self._apis[number]
            await asyncio.to_thread(self._logs.close, number, None)

    def _open_log(self, trigger: int, wait: TriggerInput) -> None:
        task_log = logs.log_path(wait.run, wait.task_id, wait.map_index, wait.try_number)
        self._logs.open(trigger, logs.trigger_log_path(task_log, os.getpid()))

    async def _make_importable(self, bundle: BundleReference) -> None:
        """Have triggers found that lie beside the DAG file; most need no bundle, so a failure isn't one yet."""
        async with self._importing:
            if (bundle.name, bundle.version) in self._importable:
                return
            try:
                path = await asyncio.to_thread(_initialized_path, bundle)
            except Exception:
                log.exception("The DAG bundle isn't available", bundle=bundle.name, version=bundle.version)
                return
            if path not in sys.path:
                sys.path.append(path)
            self._importable.add((bundle.name, bundle.version))

    def _send_from_thread(self, message: Message) -> None:
        self._loop.call_soon_threadsafe(self._send, message)

    def _send(self, message: Message) -> None:
        self._writer.write(messages.encode(message))


def _initialized_path(reference: BundleReference) -> str:
    bundle = DagBundlesManager().get_bundle(name=reference.name, version=reference.version)
    bundle.initialize()
    return str(bundle.path)
