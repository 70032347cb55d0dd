"""Says that something a user names doesn't exist: what there is instead, the nearest names first.

All commands and the Python API use these words. Names in, text out: it must not know what the names are of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

MOST_NEAR = 3
"""Names that are suggested."""

MOST_LISTED = 20
"""Names that are listed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at names that are nearly this one, to go behind it in a sentence; empty if there is none."""
    by_spelling = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), by_spelling, n=MOST_NEAR)
    return f" (did you mean {' or '.join(repr(by_spelling[each]) for each in near)}?)" if near else ""


def listed(names: Iterable[str]) -> str:
    """Names in alphabetical order, as many as one can read; ``none`` if there are none."""
    every = sorted(set(names))
    more = len(every) - MOST_LISTED
    return (", ".join(every[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")) or "none"


def absence(subject: str, name: str, known: Collection[str], there_are: str = "there are") -> str:
    """That there is no such thing, with what there is.

    Args:
        subject: what is missing, up to its name: ``No pool``, ``Run 'x' has no task``.
        name: that was asked for.
        known: the names there are.
        there_are: how they are introduced.

    Returns:
        For example ``No pool 'shrot' (did you mean 'short'?); there are: long, short.``
    """
    return f"{subject} {name!r}{did_you_mean(name, known)}; {there_are}: {listed(known)}."


def absent_task(run_id: str, known: Collection[str], task_id: str) -> str | None:
    """Why a task of a run can't be meant; None if the run has it.

    Args:
        run_id: of the run.
        known: ids of its tasks.
        task_id: that was asked for.
    """
    return None if task_id in known else absence(f"Run {run_id!r} has no task", task_id, known, "it has")


def absent_task_instance(run_id: str, known: Iterable[tuple[str, int]], task_id: str, map_index: int) -> str | None:
    """Why a task instance of a run can't be meant; None if the run has it.

    Args:
        run_id: of the run.
        known: task id and map index of all its task instances.
        task_id: that was asked for.
        map_index: -1 for a task that isn't mapped.
    """
    there = list(known)
    indexes = sorted(index for task, index in there if task == task_id)
    if not indexes:
        return absent_task(run_id, {task for task, _ in there}, task_id)
    if map_index in indexes:
        return None
    if indexes == [-1]:
        return f"Task {task_id!r} is not mapped; there is no map index {map_index} (--map-index)."
    has = f"Task {task_id!r} has map indexes {indexes[0]} to {indexes[-1]}"
    return f"{has}; say which (--map-index)." if map_index < 0 else f"{has}; there is no {map_index} (--map-index)."
