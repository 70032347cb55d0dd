# mypy: ignore-errors
# ruff: noqa: DTZ001
"""Tasks that choose which others run."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.standard.operators.branch import BaseBranchOperator
from airflow.providers.standard.operators.datetime import BranchDateTimeOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator, ShortCircuitOperator
from airflow.providers.standard.operators.weekday import BranchDayOfWeekOperator
from airflow.sdk import chain, task, task_group
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped
from leave_notes import a_dag

MIN_ONE = "none_failed_min_one_success"


def empties(*names, **arguments):
    return [EmptyOperator(task_id=name, **arguments) for name in names]


class ChoosesRight(BaseBranchOperator):
    def choose_branch(self, context):
        return "operator_right"


@a_dag()
def branches_by_operators():
    join = EmptyOperator(task_id="join", trigger_rule=MIN_ONE)
    choices = {
        "operator": ChoosesRight(task_id="operator"),
        "python": BranchPythonOperator(task_id="python", python_callable=lambda: "python_left"),
        "several": BranchPythonOperator(task_id="several", python_callable=lambda: ["several_left", "several_right"]),
        "none": BranchPythonOperator(task_id="none", python_callable=lambda: None),
        "nothing": BranchPythonOperator(task_id="nothing", python_callable=list),
        "weekday": BranchDayOfWeekOperator(
            task_id="weekday",
            week_day="Monday",
            use_task_logical_date=True,
            follow_task_ids_if_true="weekday_left",
            follow_task_ids_if_false="weekday_right",
        ),
        "moment": BranchDateTimeOperator(
            task_id="moment",
            target_lower=datetime(2024, 1, 1),
            target_upper=datetime(2024, 2, 1),
            use_task_logical_date=True,
            follow_task_ids_if_true="moment_left",
            follow_task_ids_if_false="moment_right",
        ),
    }
    for name, choice in choices.items():
        left, right = empties(f"{name}_left", f"{name}_right")
        choice >> [left, right]
        right >> EmptyOperator(task_id=f"{name}_far")
        [left, right] >> EmptyOperator(task_id=f"{name}_join", trigger_rule=MIN_ONE)
        [left, right] >> join


@a_dag()
def branches_by_decorators():
    @task.branch
    def chooses():
        return "left"

    @task.branch
    def chooses_group():
        return "group"

    @task.branch
    def chooses_nonsense():
        return "no_such_task"

    @task.branch
    def chooses_far():
        return "far"

    @task.branch(multiple_outputs=True)
    def chooses_wrong_type():
        return {"a": "left"}

    @task_group
    def group():
        one, two = empties("one", "two")
        one >> two

    left, right, other, beside = empties("left", "right", "other", "beside")
    chooses() >> [left, right]
    chooses_group() >> [group(), other]
    chooses_nonsense() >> EmptyOperator(task_id="after_nonsense")
    chooses_wrong_type() >> EmptyOperator(task_id="after_wrong_type")
    near, far = empties("near", "far")
    choice = chooses_far()
    chain(choice, near, far)
    choice >> far
    [right, beside] >> EmptyOperator(task_id="all_done", trigger_rule="all_done")


@a_dag()
def branches_within_mapped_groups():
    @task_group
    def group(n):
        @task.branch
        def chooses(n):
            return f"group.{'odd' if n % 2 else 'even'}"

        @task
        def odd(ti=None):
            return ti.map_index

        @task
        def even(ti=None):
            return ti.map_index

        join = EmptyOperator(task_id="join", trigger_rule=MIN_ONE)
        chooses(n) >> [odd(), even()] >> join

    group.expand(n=[1, 2, 3]) >> EmptyOperator(task_id="after")


@a_dag()
def branches_before_mapped():
    """A task that expands after it was skipped (``NotPreviouslySkippedDep``)."""

    @task.branch
    def chooses():
        return ["chosen", "values"]

    @task
    def values():
        return [1, 2]

    @task
    def chosen(n):
        return n

    @task
    def left_out(n):
        return n

    choice, over = chooses(), values()
    choice >> over
    choice >> chosen.expand(n=over)
    choice >> left_out.expand(n=over)
    choice >> left_out.override(task_id="left_out_literal").expand(n=[1, 2]) >> EmptyOperator(task_id="after")


@a_dag()
def branches_late():
    """The branch ends after another upstream task has let its followers through."""

    @task.branch
    def chooses():
        return "left"

    @task
    def other():
        return 1

    left, right = EmptyOperator(task_id="left"), EmptyOperator(task_id="right", trigger_rule="all_done")
    chooses() >> [left, right]
    other() >> right
    right >> EmptyOperator(task_id="after_right", trigger_rule="all_done")


@a_dag()
def short_circuits():
    for name, value, ignore in (
        ("stops", False, True),
        ("stops_next_only", False, False),
        ("goes_on", True, True),
        ("empty", [], True),
        ("something", ["x"], True),
    ):
        check = ShortCircuitOperator(
            task_id=name, python_callable=lambda value=value: value, ignore_downstream_trigger_rules=ignore
        )
        first, second = empties(f"{name}_1", f"{name}_2")
        last = EmptyOperator(task_id=f"{name}_3", trigger_rule="all_done")
        chain(check, first, second, last)


@a_dag()
def short_circuits_decorated():
    @task.short_circuit
    def stops():
        return None

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def stops_gently():
        return False

    @task
    def work():
        return 1

    a, b = empties("a", "b", trigger_rule="all_done")
    chain(stops(), a, b)
    chain(stops_gently(), work(), EmptyOperator(task_id="c", trigger_rule="all_done"))


@a_dag()
def short_circuits_over_teardown():
    from airflow.sdk import setup, teardown

    @setup
    def makes():
        return 1

    @task.short_circuit
    def stops():
        return False

    @task
    def work():
        return 1

    @teardown
    def removes():
        return 1

    made, gone = makes(), removes()
    chain(made, stops(), work(), gone)
    made >> gone


@a_dag()
def skips():
    @task
    def skipped():
        raise AirflowSkipException("not today")

    @task
    def skips_others():
        raise DownstreamTasksSkipped(tasks=["x", "y"])

    @task.skip_if(lambda context: True)
    @task
    def skipped_by_condition():
        return 1

    @task.run_if(lambda context: context["ti"].task_id == "ran_by_condition")
    @task
    def ran_by_condition():
        return 1

    follows, always = EmptyOperator(task_id="follows"), EmptyOperator(task_id="always", trigger_rule="all_done")
    skipped() >> [follows, always]
    skips_others() >> [*empties("x", "y"), EmptyOperator(task_id="z")]
    [skipped_by_condition(), ran_by_condition()] >> EmptyOperator(task_id="after", trigger_rule="none_failed")


@a_dag(schedule="@daily")
def latest_only_of_manual_run():
    latest = LatestOnlyOperator(task_id="latest")
    latest >> EmptyOperator(task_id="then") >> EmptyOperator(task_id="far", trigger_rule="all_done")


branches_by_operators()
branches_by_decorators()
branches_within_mapped_groups()
branches_before_mapped()
branches_late()
short_circuits()
short_circuits_decorated()
short_circuits_over_teardown()
skips()
latest_only_of_manual_run()
