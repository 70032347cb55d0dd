# mypy: ignore-errors
"""Every trigger rule against every pair of upstream states, generated.

The two upstream tasks of a check run one after the other, and so do map indexes: else Airflow's own result would be
chance (``all_success`` of a failed and a skipped task is what it sees first).
"""

from __future__ import annotations

import time
from itertools import product

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TriggerRule, setup, task, teardown
from airflow.sdk.exceptions import AirflowSkipException
from leave_notes import a_dag

STATES = ("success", "failed", "skipped", "upstream_failed")
PAIRS = list(product(("success", "failed", "skipped"), repeat=2))
RULES = sorted(rule.value for rule in TriggerRule)


def end_as(state: str) -> None:
    if state == "failed":
        raise ValueError(state)
    if state == "skipped":
        raise AirflowSkipException(state)


def upstreams(prefix, make=task):
    """One task for each state, by state."""

    @make
    def ends(state):
        end_as(state)

    tasks = {state: ends.override(task_id=f"{prefix}_{state}")(state) for state in STATES[:3]}
    tasks["upstream_failed"] = EmptyOperator(task_id=f"{prefix}_upstream_failed")
    tasks["failed"] >> tasks["upstream_failed"]
    return tasks


def trigger_rules_of(family):
    @a_dag(dag_id=f"trigger_rules_{family}")
    def checks():
        first = upstreams("a")
        gate = EmptyOperator(task_id="gate", trigger_rule="all_done")
        list(first.values()) >> gate
        second = upstreams("b")
        gate >> [second[state] for state in STATES[:3]]
        rules = [rule for rule in RULES if rule.startswith(family)]
        for rule, a, b in product(rules, STATES, STATES):
            [first[a], second[b]] >> EmptyOperator(task_id=f"{rule}__{a}__{b}", trigger_rule=rule)

    return checks()


@a_dag()
def trigger_rules_over_mapped():
    """Both map indexes of one upstream, one after the other."""

    @task(max_active_tis_per_dagrun=1)
    def ends(state, ti=None):
        time.sleep(5 * ti.map_index)
        end_as(state)

    @task
    def nothing():
        return []

    mapped = {"__".join(pair): ends.override(task_id="__".join(pair)).expand(state=list(pair)) for pair in PAIRS}
    mapped["none"] = ends.override(task_id="none").expand(state=nothing())
    for rule, (name, upstream) in product(RULES, mapped.items()):
        upstream >> EmptyOperator(task_id=f"{rule}___{name}", trigger_rule=rule)


@a_dag()
def trigger_rules_after_setup():
    """Teardowns run if their setup did, whatever became of the work; other tasks see setups as any upstream."""
    for setup_state, work_state in PAIRS:
        name = f"{setup_state}__{work_state}"

        @setup
        def makes(state):
            end_as(state)

        @task
        def works(state):
            end_as(state)

        @teardown
        def removes():
            return "removed"

        made = makes.override(task_id=f"setup__{name}")(setup_state)
        worked = works.override(task_id=f"work__{name}")(work_state)
        removed = removes.override(task_id=f"teardown__{name}")()
        made >> worked >> removed
        made >> removed
        worked >> EmptyOperator(task_id=f"after__{name}")


for family in sorted({rule.split("_")[0] for rule in RULES}):
    trigger_rules_of(family)
trigger_rules_over_mapped()
trigger_rules_after_setup()
