"""When a workflow that never ends continues as new: after a number of changes, with no update half done."""

from __future__ import annotations

from collections.abc import Callable

from temporalio import workflow


async def until_worn_out(changes_left: Callable[[], int]) -> None:
    """Wait until it is time to continue in a new run.

    Args:
        changes_left: how many more changes this run may take.
    """
    await workflow.wait_condition(lambda: changes_left() <= 0 or workflow.info().is_continue_as_new_suggested())
    await workflow.wait_condition(workflow.all_handlers_finished)
