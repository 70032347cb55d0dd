"""The situations in which a run is cleared, and what is recorded of each. It must not know who runs the DAG.

A run is cleared once its tasks are as the situation says, or once it has ended. After that the run's folder gets a file
``mended``; and ``go`` once its tasks are again as the situation says. Then the run goes on to its end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .environment import of_one_folder

FOLDER = Path(__file__).parent
DAGS = FOLDER / "clearing_dags"
DAG_FILE = DAGS / "clears.py"
RECORDS = FOLDER / "clearing_records"

WAITING_AT_ONCE = 2
"""Situations in which a task waits for our sign: so few that they don't take all slots."""


class Stands(NamedTuple):
    """How a task instance stands."""

    state: str | None
    try_number: int


ENVIRONMENT = of_one_folder(DAGS)
"""Of both sides, in the place of the corpus's."""


@dataclass(frozen=True)
class Clearing:
    """What is cleared: the arguments of Airflow's API, by the names that we give them."""

    task_ids: tuple[str, ...] = ()
    map_indexes: tuple[int, ...] = ()
    upstream: bool = False
    downstream: bool = False
    only_failed: bool = False


@dataclass(frozen=True)
class Situation:
    """A run, and how it is cleared.

    Attributes:
        until: how tasks stand when the run is cleared; empty if it has ended by then.
        again: how tasks stand before they are let go.
    """

    name: str
    dag_id: str
    clearing: Clearing
    until: Mapping[str, Stands] = field(default_factory=dict)
    again: Mapping[str, Stands] = field(default_factory=dict)

    @property
    def record_path(self) -> Path:
        return RECORDS / f"{self.name}.json"

    def record(self) -> dict[str, Any]:
        """What Airflow made of it."""
        return json.loads(self.record_path.read_text())  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Seen:
    """What is compared of a situation.

    Attributes:
        before: how each task instance stood when the run was cleared.
        cleared: which task instances were cleared.
        tasks: how each task instance stood at the end.
    """

    state: str
    before: Mapping[str, Stands]
    cleared: tuple[str, ...]
    tasks: Mapping[str, Stands]

    def to_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "before": {name: list(stands) for name, stands in sorted(self.before.items())},
            "cleared": sorted(self.cleared),
            "tasks": {name: list(stands) for name, stands in sorted(self.tasks.items())},
        }


def _ended(name: str, dag_id: str, *task_ids: str, **options: Any) -> Situation:
    return Situation(name, dag_id, Clearing(task_ids, **options))


RUNNING = Stands("running", 1)
_BUSY = {
    "waiting": RUNNING,
    "after_side": Stands("success", 1),
    "failure": Stands("failed", 1),
    "after_failure": Stands("upstream_failed", 0),
}


def _live(name: str, *task_ids: str, again: Mapping[str, Stands] | None = None, **options: Any) -> Situation:
    return Situation(name, "clears_while_running", Clearing(task_ids, **options), _BUSY, again or {})


SITUATIONS = (
    _ended("ended_failed_alone", "clears_chain", "second"),
    _ended("ended_failed_downstream", "clears_chain", "second", downstream=True),
    _ended("ended_failed_upstream", "clears_chain", "second", upstream=True),
    _ended("ended_failed_both_ways", "clears_chain", "second", upstream=True, downstream=True),
    _ended("ended_two_downstream_only_failed", "clears_chain", "second", "first", downstream=True, only_failed=True),
    _ended("ended_failed_whole_run", "clears_chain"),
    _ended("ended_failed_whole_run_only_failed", "clears_chain", only_failed=True),
    _ended("ended_failed_after_retries", "clears_tries", "failure", downstream=True),
    _ended("ended_success_alone", "clears_success", "second"),
    _ended("ended_success_downstream", "clears_success", "second", downstream=True),
    _ended("ended_success_whole_run", "clears_success"),
    _ended("ended_mapped_index", "clears_mapped", "work", map_indexes=(1,)),
    _ended("ended_mapped_index_downstream", "clears_mapped", "work", map_indexes=(1,), downstream=True),
    _ended("ended_mapped_only_failed", "clears_mapped", only_failed=True),
    _ended("ended_mapped_over_fewer", "clears_mapped", "values", downstream=True),
    _ended("ended_mapped_over_more", "clears_growing", "values", downstream=True),
    _ended("ended_mapped_over_more_alone", "clears_growing", "values"),
    _ended("ended_mapped_group_downstream", "clears_mapped_group", "each.begin", map_indexes=(1,), downstream=True),
    _ended("ended_mapped_group_upstream", "clears_mapped_group", "each.end", map_indexes=(1,), upstream=True),
    _ended("ended_branch_not_taken", "clears_branch", "right"),
    _ended("ended_branch_taken_otherwise", "clears_branch", "choose", downstream=True),
    _ended("ended_short_circuit", "clears_short_circuit", "check", downstream=True),
    _ended("ended_short_circuited_alone", "clears_short_circuit", "second"),
    _ended("ended_setup_user_alone", "clears_setup", "used"),
    _ended("ended_setup_user_downstream", "clears_setup", "used", downstream=True),
    _ended("ended_setup_user_upstream", "clears_setup", "before", upstream=True),
    _ended("ended_setup_only_failed", "clears_setup", only_failed=True),
    _ended("ended_trigger_rules", "clears_trigger_rules", "failure", downstream=True),
    _live("live_side_downstream", "side", downstream=True),
    _live("live_failed_downstream", "failure", downstream=True),
    _live("live_only_failed", only_failed=True),
    _live("live_running", "waiting", again={"waiting": Stands("running", 2)}),
    _live("live_first_downstream", "first", downstream=True, again={"waiting": Stands("running", 2)}),
    Situation("live_retry_wait", "clears_retry_wait", Clearing(("failure",)), {"failure": Stands("up_for_retry", 1)}),
    Situation(
        "live_deferred",
        "clears_deferred",
        Clearing(("waiting",), downstream=True),
        {"waiting": Stands("deferred", 1)},
        {"waiting": Stands("deferred", 2)},
    ),
)
