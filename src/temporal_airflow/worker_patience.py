"""How long a worker lets a workflow think. It must not know which workflows there are."""

from __future__ import annotations

from temporalio.worker import Worker

STEP_PATIENCE = 30.0
"""Seconds that a step of a workflow may take; its workflow task has twice as many."""


def let_think(worker: Worker) -> Worker:
    """Give the workflows of a worker more time for a step than the SDK's two seconds, for which it has no option.

    Steps are short, but where many processes want few cores they wait, and two seconds pass. The SDK then takes the
    workflow for deadlocked and raises an exception in its thread, wherever that is. Now and then this hits code that
    swallows it, such as a weak reference's callback, and the SDK never gets rid of the workflow: it stands still for as
    long as the worker lives.
    """
    workflow_worker = worker._workflow_worker
    assert workflow_worker is not None, "a worker of activities only has no workflows"
    workflow_worker._deadlock_timeout_seconds = STEP_PATIENCE  # type: ignore[assignment]
    return worker
