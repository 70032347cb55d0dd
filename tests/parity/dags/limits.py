# mypy: ignore-errors
"""Runs that are held up or cut short: by their past, by limits, by time, by a failure."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, BaseSensorOperator, setup, teardown
from definite_order import EndsAfter
from leave_notes import a_dag, dag_called, note, scratch, task_called

LONG = timedelta(hours=1)
CALLED = {
    "on_execute_callback": task_called("execute"),
    "on_failure_callback": task_called("failure"),
    "on_success_callback": task_called("success"),
    "on_retry_callback": task_called("retry"),
    "on_skipped_callback": task_called("skipped"),
}


class Works(BaseOperator):
    """Works so many seconds; says if it is killed."""

    def __init__(self, seconds=1, error=None, **arguments):
        super().__init__(**arguments)
        self.seconds, self.error = seconds, error

    def execute(self, context):
        self.context = context
        note(context, "started", f"{self.task_id}[{context['ti'].map_index}] {context['ti'].try_number}")
        if self.dag.max_active_tasks == 1:
            count = len((scratch(context) / "started").read_text().splitlines())
            note(context, "order", f"{count} {self.task_id}")
        time.sleep(self.seconds)
        if self.error:
            raise ValueError(self.error)

    def on_kill(self):
        note(self.context, "killed", self.task_id)


class Defers(BaseOperator):
    """Waits in a trigger."""

    def __init__(self, delta=LONG, **arguments):
        super().__init__(**arguments)
        self.delta = delta

    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(self.delta), method_name="resume")

    def resume(self, context, event):
        return "resumed"


class Never(BaseSensorOperator):
    def poke(self, context):
        return False


class CountsOthers(BaseOperator):
    """Returns whether no more of its kind than the limit work at the same time."""

    def __init__(self, limit, **arguments):
        super().__init__(**arguments)
        self.limit = limit

    def execute(self, context):
        folder = scratch(context).with_suffix(f".{self.task_id.partition(chr(95))[0]}")
        folder.mkdir(exist_ok=True)
        mark = folder / f"{self.task_id}_{context['ti'].map_index}"
        mark.touch()
        time.sleep(1.5)
        at_work = len(list(folder.iterdir()))
        mark.unlink()
        return at_work <= self.limit


class Fails(EndsAfter):
    """Fails once all others wait, each in its way."""

    def end(self, context):
        raise ValueError("at once, all of you")


@a_dag()
def depends_on_no_past():
    Works(task_id="depends", depends_on_past=True) >> Works(task_id="follows", wait_for_downstream=True)
    Works.partial(task_id="mapped", depends_on_past=True, ignore_first_depends_on_past=True).expand(seconds=[0, 1])
    Works(task_id="retries", depends_on_past=True, error="no", retries=1, retry_delay=timedelta(seconds=1))


@a_dag(fail_fast=True)
def fails_fast_with_everything():
    """What waits in every way is ended by one failure; setups, teardowns and what runs are not."""

    @setup
    def makes(**context):
        note(context, "started", "makes")

    @teardown
    def removes(**context):
        note(context, "started", "removes")

    made, removed = makes(), removes()
    failed = Fails(
        task_id="fails",
        after=["pokes", "deferred", "retried"],
        states=["up_for_reschedule", "deferred", "up_for_retry"],
        on_failure_callback=task_called("failure"),
    )
    made >> EndsAfter(task_id="works_by_now", after=["works"], states=["running"]) >> failed
    made >> [failed, works := Works(task_id="works", seconds=1200, **CALLED)] >> removed
    made >> removed
    works >> EmptyOperator(task_id="after_works") >> removed
    made >> Never(task_id="pokes", mode="reschedule", poke_interval=1200, timeout=3000, **CALLED) >> removed
    made >> Defers(task_id="deferred", **CALLED) >> removed
    made >> Works(task_id="retried", error="no", retries=1, retry_delay=LONG, seconds=0, **CALLED) >> removed
    made >> EmptyOperator(task_id="done") >> removed
    failed >> EmptyOperator(task_id="never") >> removed


@a_dag(
    dagrun_timeout=timedelta(seconds=25),
    on_failure_callback=dag_called("DAG failure"),
    on_success_callback=dag_called("DAG success"),
)
def times_out_with_everything():
    """What runs, waits or has not started when the run's time is up."""

    @setup
    def makes():
        pass

    @teardown
    def removes(**context):
        note(context, "started", "removes")

    made, removed = makes(), removes()
    made >> Works(task_id="works", seconds=120, **CALLED) >> EmptyOperator(task_id="never") >> removed
    made >> Never(task_id="pokes", mode="reschedule", poke_interval=60, timeout=300, **CALLED) >> removed
    made >> Defers(task_id="deferred", **CALLED) >> removed
    made >> Works(task_id="retried", error="no", retries=1, retry_delay=LONG, seconds=0, **CALLED) >> removed
    made >> Works(task_id="done", seconds=0) >> removed
    made >> removed


@a_dag(max_active_tasks=2)
def works_two_at_a_time():
    [CountsOthers(task_id=f"works_{number}", limit=2) for number in range(5)]


@a_dag()
def works_within_limits_of_tasks():
    CountsOthers.partial(task_id="one", limit=1, max_active_tis_per_dagrun=1).expand(doc=["a", "b", "c"])
    CountsOthers.partial(task_id="two", limit=2, max_active_tis_per_dagrun=2).expand(doc=["a", "b", "c", "d"])


def _weighted(rule):
    """One at a time: each rule makes another order of these weights.

    All are ready before the first one ends: who is chosen when a task readies another by its end, is chance in Airflow.
    """
    Works(task_id="first", priority_weight=100, weight_rule=rule, seconds=15)

    def works(name, weight):
        return Works(task_id=name, priority_weight=weight, weight_rule=rule, seconds=0)

    works("five", 5)
    EmptyOperator(task_id="before_four", priority_weight=3) >> works("four", 4)
    works("three", 3) >> EmptyOperator(task_id="after_three", priority_weight=6)
    EmptyOperator(task_id="before_two", priority_weight=7) >> works("two", 2)
    works("one", 1)


@a_dag(max_active_tasks=1)
def orders_by_weight_downstream():
    _weighted("downstream")


@a_dag(max_active_tasks=1)
def orders_by_weight_upstream():
    _weighted("upstream")


@a_dag(max_active_tasks=1)
def orders_by_weight_absolute():
    _weighted("absolute")


@a_dag()
def is_killed_in_time():
    """Limits of single tasks; ``on_kill`` is called for what runs over."""
    limit = {"execution_timeout": timedelta(seconds=2), **CALLED}
    Works(task_id="too_long", seconds=60, **limit)
    Works(task_id="too_long_twice", seconds=60, retries=1, retry_delay=timedelta(seconds=1), **limit)
    Works(task_id="in_time", seconds=0, **limit)
    Works.partial(task_id="mapped", **limit).expand(seconds=[0, 60])
    Never(task_id="pokes", poke_interval=1, **limit)
    Never(task_id="pokes_softly", poke_interval=1, timeout=2, soft_fail=True, **CALLED)
    Defers(task_id="deferred", delta=timedelta(seconds=6), **limit)


depends_on_no_past()
fails_fast_with_everything()
times_out_with_everything()
works_two_at_a_time()
works_within_limits_of_tasks()
orders_by_weight_downstream()
orders_by_weight_upstream()
orders_by_weight_absolute()
is_killed_in_time()
