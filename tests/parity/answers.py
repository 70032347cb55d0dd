"""What people answer in the DAGs of the corpus that ask them: the same to Airflow's API and to our runs.

Who answers is no part of a comparison: Airflow's API server knows only its own users.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

USER = "admin"
"""Assigned by the example that assigns users."""


@dataclass(frozen=True)
class Answer:
    options: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)


def choose(*options: str, **params: Any) -> Answer:
    return Answer(options, params)


ANSWERS: dict[str, dict[str, tuple[Answer, ...]]] = {
    "example_hitl_operator": {
        "wait_for_input": (choose("OK", information="given"),),
        "wait_for_option": (choose("option 2"),),
        "wait_for_multiple_options": (choose("option 6", "option 4"),),
        "valid_input_and_options": (choose("Approve"),),
        "choose_a_branch_to_run": (choose("task_3"),),
    },
    "asks_people": {
        "one": (choose("b"),),
        "several": (choose("c", "a"),),
        "enters": (choose("OK", number=3, words=["x", {"y": None}], note="ü"),),
        "enters_nothing": (choose("OK"),),
        "branches": (choose("to the left"),),
        "branches_both": (choose("up", "down"),),
        "mapped[0]": (choose("no"),),
        "mapped[1]": (choose("yes"),),
        "in_trigger": (choose("yes"),),
    },
    "asks_for_approval": {
        "approves": (choose("Approve"),),
        "rejects": (choose("Reject"),),
        "rejects_all": (choose("Reject"),),
        "fails": (choose("Reject"),),
        "thinks_again": (choose("Reject"), choose("Approve")),
        "rejects_with_nothing_after": (choose("Reject"),),
    },
}
"""By DAG and task instance: an answer for each try. What isn't here nobody answers."""


def answer_to(dag_id: str, label: str, try_number: int) -> Answer | None:
    answers = ANSWERS.get(dag_id, {}).get(label, ())
    return answers[try_number - 1] if try_number <= len(answers) else None
