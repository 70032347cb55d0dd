"""The workflow that is open for as long as a DAG is paused: that it is open is the pause.

It tells the DAG's open runs, and looks again and again for one that was started at the same moment and is listed only
now. A run that knows waits for the end of this workflow. It must not know what a paused run does.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from temporal_airflow import identifiers
from temporal_airflow.models import PausedDag
from temporal_airflow.workflows.activities import WITHOUT_END

TELLING_TIMEOUT = timedelta(minutes=1)
"""Of one attempt to tell the open runs; there is always another."""

LONGEST_PAUSE = timedelta(minutes=10)
"""Between two looks for open runs; the first comes after a second, each further one after twice the time."""


@workflow.defn(name=identifiers.HOLD_WORKFLOW_TYPE, sandboxed=False)
class HoldAirflowDagWorkflow:
    """Keeps a DAG paused until it is ended from outside."""

    @workflow.init
    def __init__(self, paused: PausedDag) -> None:
        self._paused = paused

    @workflow.run
    async def run(self, paused: PausedDag) -> None:  # noqa: ARG002  # __init__ has taken it
        """Tell open runs, without end."""
        while not workflow.info().is_continue_as_new_suggested():
            told = await workflow.execute_activity(
                identifiers.TELL_ACTIVITY,
                self._paused,
                result_type=tuple[str, ...],
                task_queue=identifiers.trigger_queue(self._paused.task_queue),
                start_to_close_timeout=TELLING_TIMEOUT,
                retry_policy=WITHOUT_END,
            )
            self._paused = self._paused.model_copy(update={"told": told, "passes": self._paused.passes + 1})
            await workflow.sleep(min(LONGEST_PAUSE, timedelta(seconds=2 ** min(self._paused.passes, 20))))
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self._paused)

    @workflow.update(name="told")
    async def told(self) -> tuple[str, ...]:
        """The open runs that know, once they have been told for the first time."""
        await workflow.wait_condition(lambda: self._paused.passes > 0)
        return self._paused.told
