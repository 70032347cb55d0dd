"""The workflow that keeps state which outlives runs: one for each asset, one for the variables of a task queue.

It never ends: after a number of changes it continues as new with everything it keeps. A change is an update, so it is
durable before its caller goes on. It must not know what it keeps.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from temporal_airflow import identifiers
from temporal_airflow.models import (
    AssetEventRecord,
    EventQuestion,
    KeptState,
    StateChange,
    ValueAnswer,
    ValueQuestion,
)
from temporal_airflow.workflows.continuing import until_worn_out
from temporal_airflow.workflows.kept_values import KeptValues, StateFullError


@workflow.defn(name=identifiers.STATE_WORKFLOW_TYPE, sandboxed=False)
class KeepAirflowStateWorkflow:
    """Keeps values and events of one place."""

    @workflow.init
    def __init__(self, state: KeptState) -> None:
        self._kept = KeptValues(state)
        self._changes_left = state.changes_per_run

    @workflow.run
    async def run(self, state: KeptState) -> None:  # noqa: ARG002  # __init__ has taken it
        """Serve until it is time to continue in a new run."""
        await until_worn_out(lambda: self._changes_left)
        workflow.continue_as_new(self._kept.state())

    @workflow.update(name="change")
    def change(self, change: StateChange) -> None:
        """Carry out a change."""
        self._kept.apply(change)
        self._changes_left -= 1

    @change.validator
    def check_change(self, change: StateChange) -> None:
        """Refuse a change that there is no room for."""
        try:
            self._kept.check(change)
        except StateFullError as error:
            raise ApplicationError(str(error), type=StateFullError.__name__, non_retryable=True) from error

    @workflow.query(name="values")
    def values(self, question: ValueQuestion) -> ValueAnswer:
        """One value, or keys."""
        return self._kept.values(question)

    @workflow.query(name="events")
    def events(self, question: EventQuestion) -> tuple[AssetEventRecord, ...]:
        """Asset events."""
        return self._kept.events(question)
