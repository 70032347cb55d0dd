"""The attempts of a big run, in batches that are workflows of their own: they go on whichever execution the run is in.

A batch is abandoned to itself once it has started; what became of its attempts it tells by signal. It must not know
when a task is to run, nor what its end means.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from pydantic import TypeAdapter
from temporalio import workflow
from temporalio.exceptions import FailureError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import AttemptLost, StartTask, StopTask, TaskKey, TaskStopped
from temporal_airflow.models import (
    AttemptBatch,
    AttemptReports,
    BatchedAttempt,
    DagExecutionInput,
    OpenAttempt,
    OpenBatch,
)
from temporal_airflow.models.packed import pack, unpack
from temporal_airflow.workflows.activities import WITHOUT_END, Activities, activity_id
from temporal_airflow.workflows.inbox import Inbox
from temporal_airflow.workflows.lengths import Lengths
from temporal_airflow.workflows.reports import event_of, key_of

GATHERING = timedelta(seconds=1)
"""How long attempts wait for others to make a full batch, while there is enough to do."""

MOST_BYTES = 500_000
"""Of the inputs of a batch."""

TASK_TIMEOUT = timedelta(seconds=60)
"""Of a workflow task: a worker may have to import Airflow first."""

ONE_SERIES = 1
"""The least share of a batch while others keep the workers busy: its series may be as long as any."""

LOST_BATCH = "the workflow in which it ran has ended"

_batches = TypeAdapter(tuple[OpenBatch, ...])


class Batches:
    """The batches of one run."""

    def __init__(self, execution: DagExecutionInput, activities: Activities, inbox: Inbox) -> None:
        self._limits = execution.limits
        self._routing = execution.routing
        self._activities = activities
        self._inbox = inbox
        self._gathered: list[StartTask] = []
        self._lengths = Lengths()
        self._flush_at_once = False
        self._lingering = False
        self._open: dict[str, dict[TaskKey, OpenAttempt]] = {}
        self._batch_of: dict[TaskKey, str] = {}
        progress = execution.progress
        self._begun = progress.batches_begun if progress else 0
        self._beginning: set[str] = set()
        self._stopping = 0
        if progress and progress.compressed_batches:
            self._resume(unpack(_batches, progress.compressed_batches))

    @property
    def busy(self) -> bool:
        """Whether something has yet to be told to a batch, or handed over to one: a later execution wouldn't."""
        return bool(self._gathered or self._beginning or self._stopping)

    @property
    def open(self) -> tuple[str, ...]:
        """Ids of the batches in which attempts are out."""
        return tuple(self._open)

    @property
    def begun(self) -> int:
        """How many batches there have been."""
        return self._begun

    def compressed(self) -> bytes:
        """What the next execution has to know."""
        batches = tuple(
            OpenBatch(workflow_id=batch, attempts=tuple(attempts.values())) for batch, attempts in self._open.items()
        )
        return pack(_batches, batches) if batches else b""

    def start(self, command: StartTask) -> None:
        """Start an attempt, with the next batch that begins."""
        self._gathered.append(command)

    def begin(self) -> None:
        """Begin batches of what was gathered: full ones, and the rest if there isn't enough out already."""
        size = self._limits.batch_size
        enough_out = len(self._batch_of) >= 2 * size
        while len(self._gathered) >= size or (self._gathered and (not enough_out or self._flush_at_once)):
            self._begin(self._take(size), ONE_SERIES if enough_out else self._limits.series_share)
        self._flush_at_once = False
        if self._gathered and not self._lingering:
            self._lingering = True
            asyncio.create_task(self._linger(), name="rest of a batch")  # noqa: RUF006  # the loop is the workflow's

    def stop(self, command: StopTask) -> bool:
        """Stop an attempt.

        Returns:
            Whether it runs in a batch.
        """
        waiting = [each for each in self._gathered if each.key != command.key]
        if len(waiting) < len(self._gathered):
            self._gathered = waiting
            self._inbox.put(TaskStopped(command.key, command.try_number))
            return True
        batch = self._batch_of.get(command.key)
        if batch is None:
            return False
        self._stopping += 1
        asyncio.create_task(self._stop(batch, self._open[batch][command.key]), name="stop an attempt")  # noqa: RUF006
        return True

    def ended(self, reports: AttemptReports) -> None:
        """Attempts have ended; what was told before counts once."""
        for report in reports.reports:
            key = key_of(report)
            batch = self._batch_of.get(key)
            if batch is not None and self._open[batch][key].activity_id == report.activity_id:
                self._forget(key, batch)
                self._lengths.ended(key.task_id, report.activity_id, report.result)
                self._inbox.put(event_of(report))

    async def _stop(self, batch: str, attempt: OpenAttempt) -> None:
        await workflow.wait_condition(lambda: batch not in self._beginning)
        try:
            await workflow.get_external_workflow_handle(batch).signal(identifiers.STOP_SIGNAL, attempt)
        except FailureError as error:  # it has ended, and told so
            workflow.logger.info("Batch %s has nothing left to stop: %s", batch, error)
        finally:
            self._stopping -= 1

    async def _linger(self) -> None:
        await workflow.sleep(GATHERING, summary="gathers tasks")
        self._lingering, self._flush_at_once = False, True
        self.begin()

    def _take(self, most: int) -> list[StartTask]:
        taken: list[StartTask] = []
        size = 0
        while self._gathered and len(taken) < most:
            size += len(self._gathered[0].attempt.model_dump_json())
            if taken and size > MOST_BYTES:
                break
            taken.append(self._gathered.pop(0))
        return taken

    def _begin(self, commands: list[StartTask], series_share: int) -> None:
        self._begun += 1
        name = identifiers.batch_workflow_id(workflow.info().workflow_id, self._begun)
        self._beginning.add(name)
        self._open[name] = {command.key: _open_attempt(command) for command in commands}
        self._batch_of |= dict.fromkeys(self._open[name], name)
        asyncio.create_task(self._run(name, commands, series_share), name=name)  # noqa: RUF006

    async def _run(self, name: str, commands: list[StartTask], series_share: int) -> None:
        attempts = (
            BatchedAttempt(queue=command.queue, attempt=command.attempt, weight=command.weight) for command in commands
        )
        task_ids = dict.fromkeys(command.key.task_id for command in commands)
        batch = AttemptBatch(
            run_workflow_id=workflow.info().workflow_id,
            routing=self._routing,
            limits=self._limits.model_copy(update={"series_share": series_share}),
            long=tuple(task_id for task_id in task_ids if self._lengths.is_long(task_id)),
            compressed_attempts=AttemptBatch.compressed(attempts),
        )
        try:
            handle = await workflow.start_child_workflow(
                identifiers.BATCH_WORKFLOW_TYPE,
                batch,
                id=name,
                task_timeout=TASK_TIMEOUT,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"{len(commands)} attempts, first {commands[0].key.task_id}",
            )
            self._beginning.discard(name)
            await handle
        except FailureError as error:
            self._beginning.discard(name)
            workflow.logger.warning("Batch %s didn't run to its end: %s", name, error.__cause__ or error)
        self._lose(name)

    def _resume(self, batches: tuple[OpenBatch, ...]) -> None:
        """Know again what an earlier execution has begun, whose child workflows they are."""
        for batch in batches:
            self._open[batch.workflow_id] = {
                TaskKey(attempt.task_id, attempt.map_index): attempt for attempt in batch.attempts
            }
            self._batch_of |= dict.fromkeys(self._open[batch.workflow_id], batch.workflow_id)

    def watch(self) -> None:
        """Find out when batches end that an earlier execution has begun."""
        for name in self._open:
            watch = self._activities.start(
                identifiers.WATCH_ACTIVITY,
                name,
                task_queue=self._activities.queue_of_triggers,
                retry_policy=WITHOUT_END,
                summary="whether there is a batch still",
            )
            watch.add_done_callback(partial(self._watched, name))

    def _watched(self, name: str, watch: workflow.ActivityHandle[None]) -> None:
        if not watch.cancelled():
            self._lose(name)

    def _lose(self, name: str) -> None:
        """A batch is no more: what it has not told the end of is lost."""
        for key, attempt in list(self._open.get(name, {}).items()):
            self._forget(key, name)
            self._inbox.put(AttemptLost(key, attempt.try_number, LOST_BATCH))

    def _forget(self, key: TaskKey, batch: str) -> None:
        del self._batch_of[key]
        del self._open[batch][key]
        if not self._open[batch]:
            del self._open[batch]


def _open_attempt(command: StartTask) -> OpenAttempt:
    return OpenAttempt(
        **command.key._asdict(), try_number=command.attempt.try_number, activity_id=activity_id(command.attempt)
    )
