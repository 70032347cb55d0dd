# mypy: ignore-errors
"""Dynamic task mapping in every form."""

from __future__ import annotations

import time

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from leave_notes import a_dag


@task
def numbers():
    return [1, 2, 3]


@task
def letters():
    return {"a": 10, "b": 20}


@task
def add(x, y=100):
    return x + y


@task
def echo(value):
    return value


@task
def collect(values):
    return list(values)


@a_dag()
def maps_over_literals():
    collect(add.expand(x=[1, 2]))
    echo.override(task_id="over_dict").expand(value={"k": 1, "l": [2]})
    add.override(task_id="product").expand(x=[1, 2], y=[10, 20, 30])
    add.override(task_id="partial").partial(y=7).expand(x=[1, 2])
    add.override(task_id="kwargs").expand_kwargs([{"x": 1, "y": 2}, {"x": 3}])
    echo.override(task_id="mixed").expand(value=[None, 1.5, "text", True, {"deep": [1]}])
    BashOperator.partial(task_id="classic").expand(bash_command=["echo 1", "echo '{{ ti.map_index }}'"])
    BashOperator.partial(task_id="classic_kwargs").expand_kwargs(
        [{"bash_command": "echo $A", "env": {"A": "1"}}, {"bash_command": "echo two"}]
    )


@a_dag()
def maps_over_xcoms():
    over_list, over_dict = numbers(), letters()
    collect(add.expand(x=over_list))
    echo.override(task_id="items").expand(value=over_dict)
    add.override(task_id="product").expand(x=over_list, y=[10, 20])
    summed = add.override(task_id="two_results").expand(x=over_list, y=numbers.override(task_id="more")())
    collect.override(task_id="of_product")(summed)

    @task
    def keywords():
        return [{"x": 1, "y": 2}, {"x": 3}]

    add.override(task_id="kwargs").expand_kwargs(keywords())
    PythonOperator.partial(task_id="classic", python_callable=lambda *arguments: list(arguments)).expand(
        op_args=over_list.map(lambda n: [n, n * 2])
    )


@a_dag()
def maps_over_mapped():
    first = add.override(task_id="first").expand(x=numbers())
    second = add.override(task_id="second").partial(y=1000).expand(x=first)
    collect(second)

    @task
    def pulls(ti=None):
        return {
            "all": list(ti.xcom_pull(task_ids="first")),
            "one": ti.xcom_pull(task_ids="first", map_indexes=1),
            "some": list(ti.xcom_pull(task_ids="first", map_indexes=[2, 0])),
        }

    second >> pulls()


@a_dag()
def maps_lazily():
    """``map``, ``filter`` by skipping, ``zip``, ``concat``, slices and lengths of lazy sequences."""
    one, two = numbers.override(task_id="one")(), numbers.override(task_id="two")()

    def skips_two(n):
        if n == 2:
            raise AirflowSkipException
        return n * 10

    echo.override(task_id="mapped").expand(value=one.map(lambda n: {"n": n}))
    kept = echo.override(task_id="kept").expand(value=one.map(skips_two))
    collect.override(task_id="of_kept")(kept)
    echo.override(task_id="zipped").expand(value=one.zip(two))
    echo.override(task_id="zipped_long").expand(value=one.zip(letters().map(lambda pair: pair[0]), fillvalue="none"))
    both = echo.override(task_id="joined").expand(value=one.concat(two))

    @task
    def looks(values):
        return [len(values), values[0], values[-1], list(values[1:3]), sorted(values), bool(values)]

    looks(both)


@a_dag()
def maps_nothing():
    @task
    def nothing():
        return []

    empty = add.expand(x=nothing())
    collect(empty)
    empty >> EmptyOperator(task_id="after")
    empty >> EmptyOperator(task_id="always_after", trigger_rule="all_done")
    add.override(task_id="literally_nothing").expand(x=[])
    add.override(task_id="one_side_empty").expand(x=[1, 2], y=nothing.override(task_id="nothing_2")())


@a_dag()
def maps_what_cannot_be_mapped():
    @task
    def too_many():
        return list(range(1025))

    @task
    def text():
        return "text"

    @task
    def none():
        return None

    @task
    def skipped():
        raise AirflowSkipException

    @task
    def failed():
        raise ValueError

    for producer in (too_many, text, none, skipped, failed):
        name = producer.function.__name__
        over = echo.override(task_id=f"over_{name}").expand(value=producer())
        over >> EmptyOperator(task_id=f"after_{name}", trigger_rule="all_done")


@a_dag()
def maps_groups():
    @task_group
    def inner(n):
        added = add(n, 1)
        collect([added, n])
        return added

    @task_group
    def outer(n):
        doubled = add.override(task_id="doubled")(n, n)
        echo.override(task_id="alone")("same for all")
        return doubled

    results = inner.expand(n=numbers())
    collect.override(task_id="of_group")(results)
    outer.override(group_id="literal").expand(n=[5, 6])
    outer.override(group_id="after").partial().expand(n=results)


@a_dag()
def maps_groups_with_failures():
    """Within a mapped group each index goes its own way, whatever the trigger rule."""

    @task_group
    def group(n):
        @task(max_active_tis_per_dagrun=1)  # whether a join fails or is skipped depends on what comes first
        def fails_at_two(n):
            time.sleep(3)
            if n == 2:
                raise ValueError(n)
            if n == 3:
                raise AirflowSkipException
            return n

        first = fails_at_two(n)
        for rule in ("all_success", "all_done", "one_failed", "none_failed", "all_failed", "all_skipped"):
            first >> EmptyOperator(task_id=rule, trigger_rule=rule)

        @task(trigger_rule="all_done")
        def index(ti=None):
            return ti.map_index

        first >> index()

    grouped = group.expand(n=numbers())
    for rule in ("all_success", "all_done", "one_success", "none_failed_min_one_success"):
        grouped >> EmptyOperator(task_id=f"after_{rule}", trigger_rule=rule)


@a_dag()
def maps_with_names():
    @task(map_index_template="{{ task.op_kwargs['value'] }} of {{ ti.task_id }}")
    def named(value):
        return value

    @task(map_index_template="{{ chosen }}")
    def names_itself(value):
        from airflow.sdk import get_current_context

        get_current_context()["chosen"] = f"itself {value}"

    @task(map_index_template="{{ chosen }}")
    def fails(value):
        from airflow.sdk import get_current_context

        get_current_context()["chosen"] = f"failed {value}"
        raise ValueError

    named.expand(value=["a", "b"])
    names_itself.expand(value=["a", "b"])
    fails.expand(value=["a"])
    BashOperator.partial(task_id="classic", map_index_template="{{ task.bash_command }}").expand(
        bash_command=["echo 1", "echo 2"]
    )
    named.override(task_id="not_mapped")("c")


@a_dag()
def maps_with_partial_failures():
    @task(retries=1, retry_delay=3)
    def flaky(n, ti=None):
        if n == 2 and ti.try_number == 1:
            raise ValueError("once")
        if n == 3:
            raise ValueError("always")
        return n

    results = flaky.expand(n=numbers())
    collect(results)
    collect.override(task_id="whatever_there_is", trigger_rule="all_done")(results)
    add.override(task_id="over_partial").expand(x=results)
    add.override(task_id="over_partial_done", trigger_rule="all_done").expand(x=results)


@a_dag()
def maps_with_trigger_rules():
    """A mapped task that waits for others, too."""

    @task
    def failed():
        raise ValueError

    @task
    def skipped():
        raise AirflowSkipException

    bad, absent, values = failed(), skipped(), numbers()
    for rule in ("all_success", "all_done", "none_failed", "one_success", "all_done_min_one_success"):
        [bad, values] >> echo.override(task_id=f"failed_{rule}", trigger_rule=rule).expand(value=values)
        [absent, values] >> echo.override(task_id=f"skipped_{rule}", trigger_rule=rule).expand(value=values)
        bad >> echo.override(task_id=f"literal_{rule}", trigger_rule=rule).expand(value=[1, 2])


maps_over_literals()
maps_over_xcoms()
maps_over_mapped()
maps_lazily()
maps_nothing()
maps_what_cannot_be_mapped()
maps_groups()
maps_groups_with_failures()
maps_with_names()
maps_with_partial_failures()
maps_with_trigger_rules()
