"""Answers what tasks and triggers ask the worker: about runs and DAGs, and to have something done to them.

It must not know processes, nor who asks.
"""

from __future__ import annotations

from typing import Any, assert_never

from temporalio.client import Client

from temporal_airflow import identifiers, run_listing
from temporal_airflow.asset_client import AssetClient
from temporal_airflow.exceptions import DagRunNotFoundError, TemporalAirflowError
from temporal_airflow.models import DagRunRecord, XComQuestion
from temporal_airflow.past_runs import previous_run
from temporal_airflow.run_reader import RunReader
from temporal_airflow.run_writer import RunWriter
from temporal_airflow.state_client import StateClient
from temporal_airflow.tasks.dag_catalog import DagCatalog
from temporal_airflow.tasks.messages import (
    Answer,
    Ask,
    AskDag,
    AskKeptState,
    AskPreviousRun,
    AskRun,
    AskRuns,
    AskRunsUntil,
    AskTaskState,
    AskTrigger,
    AskWrite,
    AskXCom,
    Question,
)
from temporal_airflow.tasks.recent_xcoms import RecentXComs
from temporal_airflow.tasks.run_triggering import RunTriggering
from temporal_airflow.tasks.state_answers import StateAnswers


class Answers:
    """Answers questions.

    Attributes:
        catalog: the DAGs of the worker, while it has task processes.
    """

    def __init__(self, client: Client, states: StateClient) -> None:
        self.catalog: DagCatalog | None = None
        self._client = client
        self._reader = RunReader(client, patient=True)
        self._recent_xcoms = RecentXComs(self._reader)
        self._writer = RunWriter(client)
        self._states = StateAnswers(states, AssetClient(states))

    async def to(self, ask: Ask) -> Answer:
        """The answer, which is an error if there is none: the task raises it where it asked."""
        try:
            return Answer(id=ask.id, **await self._found(ask.question))
        except DagRunNotFoundError:
            return Answer(id=ask.id)
        except TemporalAirflowError as error:
            return Answer(id=ask.id, error=str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the task's
            return Answer(id=ask.id, error=f"{type(error).__name__}: {error}")

    async def _found(self, question: Question) -> dict[str, Any]:  # noqa: C901  # a table: a case for each question
        """The fields of the answer."""
        found: dict[str, Any] = {}
        match question:
            case AskXCom(request=request, offset=offset, changes=changes):
                wanted = XComQuestion(request=request, offset=offset)
                found["page"] = await self._recent_xcoms.page(_run(question), wanted, changes)
            case AskRun():
                found["run"] = await self._reader.record(_run(question))
            case AskRuns(dag_id=dag_id, logical_dates=dates, with_tasks=with_tasks):
                runs = await run_listing.records_of(self._client, self._reader, dag_id, dates)
                found["runs"] = tuple(runs if with_tasks else map(_without_tasks, runs))
            case AskRunsUntil(dag_id=dag_id, run_id=run_id):
                found["run_ids"] = tuple(await run_listing.runs_until(self._client, dag_id, run_id))
            case AskPreviousRun(dag_id=dag_id, logical_date=date, state=state):
                found["run"] = await previous_run(self._client, self._reader, dag_id, date, state)
            case AskWrite(write=write):
                await self._writer.write(_run(question), write)
            case AskTaskState(question=state_question):
                found["task_state"] = await self._reader.task_state(_run(question), state_question)
            case AskTrigger():
                triggering = RunTriggering(self._client, self._writer, self._dags)
                found["conflict"] = not await triggering.trigger(question)
            case AskDag(dag_id=dag_id):
                found["dag"] = await self._dags.describe(dag_id)
            case AskKeptState(task_queue=task_queue, question=asked):
                found["kept"] = await self._states.answer(task_queue, asked)
            case _:
                assert_never(question)
        return found

    @property
    def _dags(self) -> DagCatalog:
        assert self.catalog is not None, "tasks run while there are task processes"
        return self.catalog


def _run(question: AskXCom | AskRun | AskWrite | AskTaskState) -> str:
    return identifiers.workflow_id(question.dag_id, question.run_id)


def _without_tasks(run: DagRunRecord) -> DagRunRecord:
    return run.model_copy(update={"task_instances": ()})
