"""Answers that a program has ready for the tasks of a run that ask people: for the Python API and for tests.

It must not know how an answer reaches the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from temporal_airflow.exceptions import InputError, TemporalAirflowError
from temporal_airflow.identifiers import task_label

if TYPE_CHECKING:
    from temporal_airflow.client import DagRunClient
    from temporal_airflow.models import DagExecutionResult, LoadedDag


@dataclass(frozen=True)
class Answer:
    """What is answered to a task.

    Attributes:
        options: what is chosen; needn't be given if there is only one.
        params: values for the fields of the form, for all of them or none.
        user: id or name of who answers; this process's user by default.
    """

    options: str | Sequence[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None

    @property
    def chosen(self) -> Sequence[str]:
        """The options, however many."""
        return (self.options,) if isinstance(self.options, str) else self.options


Answers = Mapping[str, str | Answer]
"""By task id, or by ``task_id[map_index]``: an answer, or the option that is chosen."""


def check_answers(answers: Answers, loaded: LoadedDag) -> None:
    """Refuse answers to tasks that the DAG doesn't have.

    Raises:
        InputError: naming the first of them.
    """
    if not answers:
        return
    tasks = {task["__var"]["task_id"] for task in loaded.definition.serialized_dag()["dag"]["tasks"]}
    for name in answers:
        if name.partition("[")[0] not in tasks:
            known = ", ".join(sorted(tasks))
            raise InputError(f"There is an answer for task {name!r}, and DAG {loaded.run.dag_id!r} has: {known}.")


async def answered_to_the_end(client: DagRunClient, workflow_id: str, answers: Answers) -> DagExecutionResult:
    """Wait for the end of a run, and answer whenever one of these tasks asks.

    Raises:
        InputError: if the run doesn't take an answer; it is cancelled then.
    """
    try:
        if answers:
            await _answer_until_it_ends(client, workflow_id, answers)
    except TemporalAirflowError:
        await client.cancel(workflow_id)
        await client.result(workflow_id)
        raise
    return await client.result(workflow_id)


async def _answer_until_it_ends(client: DagRunClient, workflow_id: str, answers: Answers) -> None:
    async for record in client.watch(workflow_id):
        for ti in record.task_instances:
            given = answers.get(task_label(ti.task_id, ti.map_index), answers.get(ti.task_id))
            if ti.input_request is None or given is None:
                continue
            answer = Answer(given) if isinstance(given, str) else given
            await client.respond(
                workflow_id,
                ti.task_id,
                chosen_options=answer.chosen,
                params_input=answer.params,
                map_index=ti.map_index,
                user=answer.user,
            )
