"""Patience of a worker for which the SDK has no option. It must not know which workflows there are."""

from __future__ import annotations

import os

from temporalio.worker import Worker

STEP_PATIENCE = 30.0
"""Seconds that a step of a workflow may take; its workflow task has twice as many."""


HANG_UP = "TEMPORAL_POLL_SHUTDOWN_INTERRUPT_WAIT_MS"
"""Variable from which the SDK reads after how many milliseconds a stopping worker gives its calls for work up."""

LAST_CALL = 300
"""Milliseconds: the server's answer takes a few, on a busy machine a hundred."""


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


def let_calls_return() -> None:
    """Let what the server is about to hand over arrive when workers of this process stop; call it before they are made.

    The SDK gives a call for work up at once when its worker stops. What the server has answered just then is lost until
    it times out, a minute later. Servers that end such calls themselves don't need it.
    """
    os.environ.setdefault(HANG_UP, str(LAST_CALL))
