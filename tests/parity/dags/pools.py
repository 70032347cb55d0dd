# mypy: ignore-errors
"""Runs of 200 tasks that work two at a time: so many slots has a pool, or so many tasks may be active."""

from __future__ import annotations

import time

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, task
from leave_notes import a_dag, await_line, note, scratch

POOL = "two"
WORKS, MAPPED = 150, 50


def _states(context):
    ti = context["ti"]
    return ti.get_task_states(ti.dag_id, run_ids=[ti.run_id])[ti.run_id]


class Pairs(BaseOperator):
    """Notes with which other task it works: each ends once the slots are taken by its pair, whoever of it is first.

    Which of two tasks that are chosen at once starts earlier is chance in Airflow; which two they are isn't.

    Args:
        number: of a mapped one.
        following: how many others have to be ready before it ends, if it is of the first pair.
    """

    def __init__(self, number=0, following=0, **arguments):
        super().__init__(**arguments)
        self.number, self.following = number, following

    def execute(self, context):
        own = f"{self.task_id}[{context['ti'].map_index}]"
        note(context, "started", own)
        pair = self.place(context, own) // 2
        note(context, "pairs", f"{pair:03} {own}")
        while len(self.started(context)) < 2 * pair + 2:
            time.sleep(0.05)
        while self.ready(context) < self.following and len(self.started(context)) == 2:
            time.sleep(1)

    def ready(self, context):
        return list(_states(context).values()).count("scheduled")

    def started(self, context):
        return (scratch(context) / "started").read_text().splitlines()

    def place(self, context, own):
        return self.started(context).index(own)


def _works_after(ready, **where):
    """200 tasks of every weight rule, whose own weights would make another order than those that the rules make."""
    for number in range(WORKS):
        rule = ("absolute", "downstream", "upstream")[number % 3]
        beside = EmptyOperator(task_id=f"beside_{number}", priority_weight=number * 41 % 97)
        others = 0 if rule == "absolute" else beside.priority_weight
        weight = 100 + 10 * (number * 29 % WORKS)
        works = Pairs(task_id=f"works_{number}", priority_weight=weight - others, weight_rule=rule, **where)
        first, second = (works, beside) if rule == "downstream" else (beside, works)
        first >> second
        ready >> works
    in_the_middle = 105 + 10 * WORKS // 2
    mapped = Pairs.partial(task_id="mapped", priority_weight=in_the_middle, weight_rule="absolute", **where)
    ready >> mapped.expand(number=list(range(MAPPED)))


@a_dag(max_active_tasks=1000)
def orders_in_a_pool():
    """All are ready before the first of them can start: the slots are taken until then."""

    @task(weight_rule="absolute")
    def slots_are_taken(**context):
        await_line(context, "started", "takes_0[-1]")
        await_line(context, "started", "takes_1[-1]")

    for number in range(2):
        Pairs(task_id=f"takes_{number}", pool=POOL, following=WORKS + MAPPED)
    _works_after(slots_are_taken(), pool=POOL)


@a_dag(max_active_tasks=2)
def orders_under_a_limit():
    """All are ready at once: the last that they wait for is the same for all."""

    @task(weight_rule="absolute")
    def others_have_ended(**context):
        waits = {f"beside_{number}" for number in range(WORKS) if number % 3 != 1}
        while not waits <= {task_id for task_id, state in _states(context).items() if state == "success"}:
            time.sleep(0.2)

    _works_after(others_have_ended())


orders_in_a_pool()
orders_under_a_limit()
