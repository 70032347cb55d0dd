# mypy: ignore-errors
"""Tasks that end after the scheduler has seen others end.

Where a trigger rule looks at a failed task and at a skipped one, Airflow decides by what its scheduler sees first. In
a run with both, the later one waits for a state that another task can only have once the scheduler has seen the first:
then there is one outcome, however fast or slow anything is.
"""

from __future__ import annotations

from airflow.sdk import BaseOperator
from parity_triggers import StatesTrigger

ENDED = ["success", "failed", "skipped", "upstream_failed", "removed"]


class EndsAfter(BaseOperator):
    """Ends once each of these tasks of its run has, or one instance of it has, one of these states.

    It waits in a trigger: a process would take the place of those that it waits for, and how often a sensor is
    rescheduled would be chance.
    """

    def __init__(self, *, after, states=ENDED, **arguments):
        super().__init__(**arguments)
        self.after, self.states = after, states

    def waits(self, context) -> bool:
        """Whether this instance waits."""
        return True

    def end(self, context):
        """What it does then."""

    def execute(self, context):
        return self.await_states(context["ti"]) if self.waits(context) else self.end(context)

    def await_states(self, ti):
        trigger = StatesTrigger(
            external_dag_id=ti.dag_id,
            run_ids=[ti.run_id],
            external_task_ids=self.after,
            allowed_states=self.states,
            poke_interval=1,
        )
        self.defer(trigger=trigger, method_name="resume")

    def resume(self, context, event):
        return self.end(context)
