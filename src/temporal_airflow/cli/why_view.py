"""Why tasks don't run, for people and for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from temporal_airflow.identifiers import task_label
from temporal_airflow.reasons import Explanation, Explanations, Reason

MOST_NAMED = 5
"""Task instances that one line names."""


def why_lines(explanations: Explanations) -> Iterator[str]:
    """Task instances that wait for the same together, each reason on a line of its own."""
    yield ""
    yield from explanations.run
    together: defaultdict[tuple[Reason, ...], list[Explanation]] = defaultdict(list)
    for explanation in explanations.task_instances:
        together[explanation.reasons].append(explanation)
    for reasons, alike in together.items():
        yield f"{_enumerated([_named(each) for each in alike])}:"
        yield from (f"  {_sentence(reason)}" for reason in reasons)
    if not explanations.task_instances:
        yield "No task waits."
    if explanations.left_out:
        yield f"... and {explanations.left_out} more task instances; name a TASK to have its own explained."


def with_why(run: dict[str, Any], explanations: Explanations) -> dict[str, Any]:
    """The JSON object of ``status`` with the reasons in it.

    Args:
        run: the object without.
        explanations: of that run.
    """
    by_key = {(each.task_instance.task_id, each.task_instance.map_index): each for each in explanations.task_instances}
    for entry in run["task_instances"]:
        if explanation := by_key.get((entry["task_id"], entry["map_index"])):
            entry["why"] = [
                {"dependency": reason.dependency, "reason": reason.reason, "tasks": list(reason.tasks)}
                for reason in explanation.reasons
            ]
    return {**run, "why": list(explanations.run)}


def _named(explanation: Explanation) -> str:
    ti = explanation.task_instance
    return f"{task_label(ti.task_id, ti.map_index)} ({ti.state.value if ti.state else 'waiting'})"


def _sentence(reason: Reason) -> str:
    words = f"{reason.dependency}: {reason.reason}" if reason.dependency else reason.reason
    return f"{words} Upstream: {_enumerated(reason.tasks)}." if reason.tasks else words


def _enumerated(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
