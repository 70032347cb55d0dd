"""Looks for runs of a DAG before a logical date, and waits for news of them.

Which runs there are is Temporal's visibility to say; it lags a little. How they stand, the runs themselves tell, or
their results. A look at an open run costs its worker a query, so it is asked only once its history has grown. It must
not know what the answers are for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow.utils.state import DagRunState, State
from airflow.utils.types import DagRunType
from temporalio.client import Client
from temporalio.service import RPCError

from temporal_airflow.exceptions import DagRunNotFoundError
from temporal_airflow.models import (
    DagRunRecord,
    PastRun,
    PastRuns,
    PastRunsQuestion,
    PastTaskInstance,
)
from temporal_airflow.run_executions import run_executions
from temporal_airflow.run_reader import RunReader, is_unanswered

FIRST_PAUSE = 0.25
"""Seconds before the first look whether an earlier run has gone on."""

LONGEST_PAUSE = 5.0
"""Seconds between two looks while nothing happens."""

SLOWING = 1.5
"""Factor from one pause to the next."""

NEW_LIST = 60.0
"""Seconds until the list of runs is made anew: one may have been started with an earlier date, or again."""


ANSWER_PATIENCE = 5.0
"""Seconds for an open run to tell how it stands; nothing of the asking run starts before."""


@dataclass(frozen=True)
class Candidate:
    """A run with an earlier logical date."""

    logical_date: datetime
    run_id: str
    run_type: DagRunType
    workflow_id: str


class PastRunsWatch:
    """Answers one question about earlier runs."""

    def __init__(self, client: Client, reader: RunReader, question: PastRunsQuestion) -> None:
        self._client = client
        self._reader = reader
        self._question = question
        self._some_unread = False

    async def news(self) -> PastRuns:
        """The answer, once it isn't the one that is known."""
        known = self._question.known
        while True:
            candidates = await self._candidates()
            async for answer in self._answers(candidates):
                if known is None or _decisive(answer) != _decisive(known):
                    return answer

    async def _candidates(self) -> list[Candidate]:
        """Earlier runs, latest first; not before the asking run itself can be found, or another could be missed."""
        question = self._question
        while True:
            found = [run async for run in _runs(self._client, question.dag_id)]
            if any(run.run_id == question.run_id for run in found):
                return _before(found, question.logical_date)
            await asyncio.sleep(FIRST_PAUSE)

    async def _answers(self, candidates: Sequence[Candidate]) -> AsyncIterator[PastRuns]:
        """The answer as it is now, and whenever it may be another, until it is time for a new list."""
        until = time.monotonic() + NEW_LIST
        pause = FIRST_PAUSE
        seen = None
        while time.monotonic() < until:
            lengths = await self._history_lengths(candidates)
            if lengths != seen:
                pause = FIRST_PAUSE
            if lengths != seen or self._some_unread:
                seen, self._some_unread = lengths, False
                yield await self._answer(candidates)
            await asyncio.sleep(pause)
            pause = min(pause * SLOWING, LONGEST_PAUSE)

    async def _history_lengths(self, candidates: Sequence[Candidate]) -> list[tuple[str | None, int]]:
        descriptions = [
            await self._client.get_workflow_handle(run.workflow_id).describe() for run in _that_count(candidates)
        ]
        return [(description.run_id, description.history_length) for description in descriptions]

    async def _answer(self, candidates: Sequence[Candidate]) -> PastRuns:
        question = self._question
        count = _that_count(candidates)
        runs = [await self._read(candidate, question.task_ids) for candidate in count]
        unseen = set(question.maybe_new_task_ids) - {ti.task_id for run in runs for ti in run.task_instances}
        for candidate in (each for each in candidates if each not in count):
            if not unseen:
                break
            run = await self._read(candidate, sorted(unseen))
            if run.task_instances:
                runs.append(run)
                unseen -= {ti.task_id for ti in run.task_instances}
        return PastRuns(runs=tuple(runs))

    async def _read(self, candidate: Candidate, task_ids: Sequence[str]) -> PastRun:
        try:
            async with asyncio.timeout(ANSWER_PATIENCE):
                record = await self._reader.record(candidate.workflow_id)
        except DagRunNotFoundError:  # ended from outside
            return _past_run(candidate, DagRunState.FAILED, _unproven(task_ids))
        except (TimeoutError, RPCError) as error:
            if isinstance(error, RPCError) and not is_unanswered(error):
                raise
            self._some_unread = True
            return self._last_known(candidate) or _past_run(candidate, DagRunState.RUNNING, _unproven(task_ids))
        task_instances = tuple(
            PastTaskInstance(task_id=ti.task_id, map_index=ti.map_index, state=ti.state)
            for ti in record.task_instances
            if ti.task_id in task_ids
        )
        return _past_run(candidate, record.state, task_instances)

    def _last_known(self, candidate: Candidate) -> PastRun | None:
        """An open run as it was when it could still be asked; now it has no worker."""
        known = self._question.known.runs if self._question.known else ()
        return next((run for run in known if run.run_id == candidate.run_id), None)


async def previous_run(
    client: Client, reader: RunReader, dag_id: str, before: datetime, state: str | None
) -> DagRunRecord | None:
    """The latest run of a DAG with an earlier logical date.

    Args:
        client: connected to the server.
        reader: of the same server.
        dag_id: the DAG.
        before: logical dates must be earlier.
        state: only runs in this state; None takes any.
    """
    for candidate in _before([run async for run in _runs(client, dag_id)], before):
        try:
            record = await reader.record(candidate.workflow_id)
        except DagRunNotFoundError:
            continue  # ended from outside: it left nothing that could be told
        if state is None or record.state.value == state:
            return record
    return None


async def _runs(client: Client, dag_id: str) -> AsyncIterator[Candidate]:
    """The runs of a DAG that have a logical date."""
    async for run in run_executions(client, dag_id):
        memo = run.memo
        if memo.get("logical_date"):
            yield Candidate(
                datetime.fromisoformat(memo["logical_date"]),
                memo["run_id"],
                DagRunType(memo.get("run_type") or DagRunType.MANUAL),
                run.execution.id,
            )


def _before(runs: Sequence[Candidate], logical_date: datetime) -> list[Candidate]:
    """Runs with an earlier logical date, latest first; for one date the last started stands for all."""
    latest: dict[datetime, Candidate] = {}
    for run in runs:
        if run.logical_date < logical_date:
            latest.setdefault(run.logical_date, run)
    return [latest[date] for date in sorted(latest, reverse=True)]


def _that_count(candidates: Sequence[Candidate]) -> list[Candidate]:
    """What Airflow may take for the previous run: the latest, or the latest that wasn't started by hand."""
    latest = candidates[:1]
    return [*latest, *[run for run in candidates if run.run_type != DagRunType.MANUAL and run not in latest][:1]]


def _unproven(task_ids: Sequence[str]) -> tuple[PastTaskInstance, ...]:
    """Task instances of a run that doesn't tell how it stands: none of them is known to have succeeded."""
    return tuple(PastTaskInstance(task_id=task_id) for task_id in task_ids)


def _past_run(candidate: Candidate, state: DagRunState, task_instances: tuple[PastTaskInstance, ...]) -> PastRun:
    return PastRun(
        run_id=candidate.run_id,
        run_type=candidate.run_type,
        logical_date=candidate.logical_date,
        state=state,
        task_instances=task_instances,
    )


def _decisive(answer: PastRuns) -> list[tuple[object, ...]]:
    """What of an answer may change a decision: whatever a task does before it has ended is the same."""
    return [
        (run.run_id, ti.task_id, ti.map_index, ti.state if ti.state in State.finished else None)
        for run in answer.runs
        for ti in sorted(run.task_instances, key=lambda ti: (ti.task_id, ti.map_index))
    ] + [(run.run_id,) for run in answer.runs]
