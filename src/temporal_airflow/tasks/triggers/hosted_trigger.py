"""One trigger: brought to life, watched until its first event, its failure, its timeout or its cancellation.

Follows ``TriggerRunner`` of Airflow's triggerer, step by step: what a trigger sees and when it is cleaned up is the
same. What fails is the trigger's failure, and its task learns of it by failing; only what no trigger can cause is ours.
It must not know sockets, nor other triggers.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import greenback
import structlog
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.jobs.triggerer_job_runner import _ON_CANCEL_TIMEOUT, TriggerRunner
from airflow.models.trigger import _decode_next_kwargs
from airflow.sdk import Context
from airflow.sdk._shared.module_loading import import_string
from airflow.serialization.decoders import smart_decode_trigger_kwargs
from airflow.triggers.base import BaseTrigger, TriggerEvent
from airflow.utils.state import DagRunState

from temporal_airflow.models import DagRunRecord, TriggerInput, TriggerResult
from temporal_airflow.tasks.execution_api.run_queries import as_dag_run
from temporal_airflow.tasks.execution_api.xcoms import XComCalls
from temporal_airflow.tasks.sealing import unseal
from temporal_airflow.tasks.triggers import outcome

FAREWELL = 2.0
"""Seconds that a trigger may go on after its first event; about what Airflow's triggerer needs to notice."""

log = structlog.get_logger(__name__)


class TriggerExitedError(Exception):
    """A trigger tried to end the process it shares with others."""


class HostedTrigger:
    """A trigger in the trigger host.

    Attributes:
        task_instance: the one that waits.
    """

    def __init__(self, trigger_id: int, wait: TriggerInput, xcoms: XComCalls) -> None:
        """Prepare a trigger; :meth:`outcome` runs it.

        Args:
            trigger_id: of the trigger in this host.
            wait: what is waited for, and for whom.
            xcoms: takes what the trigger writes, and what its last event pushes.
        """
        self._id = trigger_id
        self._wait = wait
        self._xcoms = xcoms
        self._first_event: asyncio.Future[TriggerEvent] = asyncio.get_running_loop().create_future()
        self._cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._by_user = False
        self._life: asyncio.Task[None] | None = None
        run = wait.run
        self.task_instance = _task_instance(wait)
        self._name = f"{run.dag_id}/{run.run_id}/{wait.task_id}/{wait.map_index}/{wait.try_number} (ID {trigger_id})"

    def cancel(self, *, by_user: bool) -> None:
        """Stop it, unless it is over.

        Args:
            by_user: whether somebody gave the task up, so that ``on_kill`` is due.
        """
        if not self._cancelled.done():
            self._by_user = by_user
            self._cancelled.set_result(None)

    async def outcome(self) -> TriggerResult | None:
        """Run it until it is known how the wait ended; None if it was cancelled, and then it has tidied up.

        Raises:
            SettingsError: if the arguments can't be read, or an XCom be written, on this worker.
        """
        arguments = unseal(self._wait.deferral.trigger_kwargs)
        dag = unseal(self._wait.sealed_dag) if self._wait.sealed_dag else None
        next_kwargs = unseal(self._wait.deferral.next_kwargs) if self._wait.deferral.next_kwargs else {}
        result = await self._run(arguments, dag, next_kwargs)
        return result and result.model_copy(update={"xcoms": self._xcoms.written()})

    async def farewell(self) -> None:
        """See a trigger off whose wait is over: nobody waits for it any more, but it may still have to tidy up."""
        if self._life is None:
            return
        if self._first_event.done():
            await asyncio.wait({self._life}, timeout=FAREWELL)
        await self._end_life()

    async def _run(self, arguments: Any, dag: dict[str, Any] | None, next_kwargs: Any) -> TriggerResult | None:
        try:
            trigger = self._create(arguments)
            context = self._give_task(trigger, dag) if dag else None
        except (Exception, SystemExit) as error:  # user code may raise anything
            log.exception("Trigger failed to load code", classpath=self._wait.deferral.classpath)
            return outcome.failed(error)
        self._life = asyncio.create_task(self._live(trigger, context), name=self._name)
        await asyncio.sleep(0)  # a life that hasn't begun could be cancelled without a clean-up
        ends: set[asyncio.Future[Any]] = {self._life, self._first_event, self._cancelled}
        await asyncio.wait(ends, timeout=self._seconds_left(), return_when=asyncio.FIRST_COMPLETED)
        if self._first_event.done():
            return outcome.fired(self._first_event.result(), self._wait, next_kwargs, self._xcoms)
        if self._life.done():
            return outcome.failed(_why_it_ended(self._life, self._name))
        if self._cancelled.done():
            await self._end_life()
            return None
        log.error("Trigger cancelled due to timeout")
        return outcome.timed_out()

    def _create(self, arguments: Any) -> BaseTrigger:
        trigger_class = import_string(self._wait.deferral.classpath)
        decoded = {name: smart_decode_trigger_kwargs(value) for name, value in _decode_next_kwargs(arguments).items()}
        trigger: BaseTrigger = trigger_class(**decoded)
        task_instance: Any = self.task_instance
        trigger.task_instance = task_instance
        trigger.trigger_id = self._id
        trigger.triggerer_job_id = os.getpid()  # type: ignore[attr-defined]
        trigger.timeout_after = self._wait.timeout_after  # type: ignore[attr-defined]
        return trigger

    def _give_task(self, trigger: BaseTrigger, dag: dict[str, Any]) -> Context:
        """Let a trigger in which a task starts know that task; what its templates are rendered with."""
        run = as_dag_run(
            DagRunRecord(run=self._wait.run, state=DagRunState.RUNNING, start_date=self._wait.run_start_date)
        )
        task_instance: Any = TriggerRunner.create_runtime_ti(
            self.task_instance, dag, run.model_dump(exclude_unset=True)
        )
        context: Context = task_instance.get_template_context()
        trigger.task_instance = task_instance
        return context

    async def _live(self, trigger: BaseTrigger, context: Context | None) -> None:
        """The whole life of the trigger, in one asyncio task (``TriggerRunner.run_trigger``)."""
        log.info("trigger %s starting", self._name)
        try:
            if os.environ.get("AIRFLOW_DISABLE_GREENBACK_PORTAL", "").lower() != "true":
                await greenback.ensure_portal()
            if context is not None:
                trigger.render_template_fields(context)
            async for event in trigger.run():
                log.info("Trigger fired event", name=self._name, result=event)
                if not self._first_event.done():
                    self._first_event.set_result(event)
        except asyncio.CancelledError:
            if self._by_user:
                await self._kill(trigger)
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            raise TriggerExitedError(f"The trigger called for an exit: {error!r}") from error
        finally:
            with suppress(Exception):
                await trigger.cleanup()
            log.info("trigger completed", name=self._name)

    async def _kill(self, trigger: BaseTrigger) -> None:
        log.info("Trigger cancelled by user action, invoking on_kill", name=self._name)
        try:
            await asyncio.wait_for(trigger.on_kill(), timeout=_ON_CANCEL_TIMEOUT)
        except TimeoutError:
            log.warning("on_kill() timed out", timeout=_ON_CANCEL_TIMEOUT, name=self._name)
        except Exception:  # as in Airflow, it changes nothing for the task
            log.warning("on_kill() raised an exception", name=self._name, exc_info=True)

    async def _end_life(self) -> None:
        assert self._life is not None, "it has begun"
        if not self._life.done():
            self._life.cancel()
            await asyncio.wait({self._life})
        if not self._life.cancelled() and self._first_event.done() and (error := self._life.exception()):
            log.error("Trigger %s exited with error %s", self._name, error, exc_info=error)

    def _seconds_left(self) -> float | None:
        deadline = self._wait.timeout_after
        return None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())


def _why_it_ended(life: asyncio.Task[None], name: str) -> BaseException | None:
    """The exception of a trigger that ended without an event, logged; None if there was none."""
    error = asyncio.CancelledError("The trigger cancelled itself") if life.cancelled() else life.exception()
    if error is not None:
        log.error("Trigger %s exited with error %s", name, error, exc_info=error)
    log.error("Trigger exited without sending an event. Dependent tasks will be failed.", name=name)
    return error


def _task_instance(wait: TriggerInput) -> TaskInstanceDTO:
    return TaskInstanceDTO(
        id=wait.task_instance_id,
        dag_version_id=wait.dag_version_id,
        dag_id=wait.run.dag_id,
        run_id=wait.run.run_id,
        task_id=wait.task_id,
        map_index=wait.map_index,
        try_number=wait.try_number,
        queue=wait.deferral.queue or "default",
        pool_slots=1,
        priority_weight=1,
    )
