# mypy: ignore-errors
"""Outlets, the ways a task's code can look, and the limits of a run."""

from __future__ import annotations

import asyncio
import time

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.operators.smooth import SmoothOperator
from airflow.sdk import (
    Asset,
    AssetAlias,
    BaseOperator,
    BaseOperatorLink,
    Metadata,
    Variable,
    XComArg,
    chain,
    task,
    task_group,
)
from leave_notes import a_dag, note

ONE, TWO = Asset(name="one", uri="s3://parity/one", extra={"of": "asset"}), Asset("file://parity/two")
ALIAS = AssetAlias("parity-alias")
READ = Asset(name="read", uri="file://parity/read", extra={"of": "asset"})
READ_ALIAS = AssetAlias("parity-read")


@a_dag()
def emits_asset_events():  # noqa: C901  # one task for each way
    @task(outlets=[ONE])
    def plain():
        return 1

    @task(outlets=[ONE, TWO])
    def with_extra(outlet_events=None):
        outlet_events[ONE].extra = {"rows": 3}

    @task(outlets=[TWO])
    def by_yield():
        yield Metadata(TWO, {"yielded": True})

    @task(outlets=[ALIAS])
    def by_alias(outlet_events=None):
        outlet_events[ALIAS].add(Asset("s3://parity/aliased"), extra={"k": 1})
        outlet_events[ALIAS].add(ONE)

    @task(outlets=[ALIAS])
    def silent_alias():
        return 1

    @task(outlets=[ONE], retries=1, retry_delay=3)
    def fails_first(ti=None, outlet_events=None):
        outlet_events[ONE].extra = {"try": ti.try_number}
        if ti.try_number == 1:
            raise ValueError

    @task(outlets=[ONE])
    def fails():
        raise ValueError

    @task(outlets=[TWO])
    def mapped(n, outlet_events=None):
        outlet_events[TWO].extra = {"n": n}

    for each in (plain, with_extra, by_yield, by_alias, silent_alias, fails_first, fails):
        each()
    mapped.expand(n=[1, 2])
    EmptyOperator(task_id="empty", outlets=[ONE])


@a_dag()
def reads_what_outlives_runs():
    @task(outlets=[READ, READ_ALIAS])
    def emits(outlet_events=None):
        outlet_events[READ].extra = {"rows": 1}
        outlet_events[READ_ALIAS].add(READ, extra={"by": "alias"})

    @task(inlets=[READ, READ_ALIAS, Asset.ref(name="read")])
    def reads(inlet_events=None, triggering_asset_events=None):
        events = inlet_events[READ]
        return {
            "extras": sorted(str(event.extra) for event in events),
            "asset": [events[0].asset.name, events[0].asset.uri, events[0].asset.group, events[0].asset.extra],
            "source": [events[0].source_dag_id, events[0].source_task_id, events[0].source_map_index],
            "alias": [event.extra for event in inlet_events[READ_ALIAS]],
            "by reference": len(inlet_events[2]),
            "limited": len(inlet_events[READ].limit(1)),
            "before": len(inlet_events[READ].limit(9).before("2020-01-01T00:00:00+00:00")),
            "triggering": len(triggering_asset_events),
        }

    @task(inlets=[READ], retries=1, retry_delay=1)
    def keeps_state(asset_state_store=None, ti=None):
        state = asset_state_store[READ]
        state.set("tries", state.get("tries", default=0) + 1)
        if ti.try_number == 1:
            raise ValueError
        state.set("gone", 1)
        state.delete("gone")
        found = [state.get("tries"), state.get("gone", default="none")]
        state.clear()
        return [*found, state.get("tries", default="none")]

    @task
    def variables():
        Variable.set("outlives/a", {"b": None}, serialize_json=True)
        Variable.set("outlives/b", "x", description="of a test")
        Variable.delete("outlives/b")
        found = [list(Variable.keys(prefix="outlives/")), Variable.get("outlives/a", deserialize_json=True)]
        Variable.delete("outlives/a")
        return [*found, Variable.get("outlives/a", default="default")]

    @task(inlets=[Asset.ref(name="never heard of")])
    def unknown():
        return 1

    emits() >> reads()
    keeps_state()
    variables()
    unknown()


class Link(BaseOperatorLink):
    name = "link"

    def get_link(self, operator, *, ti_key):
        return f"https://example.org/{ti_key.task_id}"


class Operator(BaseOperator):
    operator_extra_links = (Link(),)
    template_fields = ("text",)

    def __init__(self, text="none", **arguments):
        super().__init__(**arguments)
        self.text = text

    def pre_execute(self, context):
        context["ti"].xcom_push(key="pre", value=self.text)

    def execute(self, context):
        return {"text": self.text}

    def post_execute(self, context, result=None):
        context["ti"].xcom_push(key="post", value=result)


@a_dag()
def runs_code():
    @task
    async def waits():
        await asyncio.sleep(0.01)
        return "async"

    @task.python(multiple_outputs=True)
    def decorated() -> dict:
        return {"a": 1}

    @task.bash
    def bash():
        return "echo from bash"

    @task.bash(cwd="/")
    def fails_in_bash():
        return "exit 9"

    def generator():
        yield 1
        yield 2

    def old_style(*args, **kwargs):
        return sorted(kwargs)[:3], args

    waits()
    decorated()
    bash()
    fails_in_bash()
    SmoothOperator(task_id="smooth")
    first = Operator(task_id="first", text="{{ ds }}")
    second = Operator(task_id="second", text=XComArg(first)["text"])
    chain(first, second)
    PythonOperator(
        task_id="arguments", python_callable=old_style, op_args=[1, "{{ ds }}"], op_kwargs={"k": "{{ run_id }}"}
    )
    PythonOperator(task_id="generates", python_callable=generator)
    PythonOperator(task_id="quiet", python_callable=lambda: 1, do_xcom_push=False)


@a_dag(max_active_tasks=2)
def is_limited_in_tasks():
    @task
    def works(n, **context):
        note(context, "limited", f"start {n}")
        time.sleep(0.1)

    works.expand(n=[1, 2, 3, 4])


@a_dag()
def is_limited_in_mapped():
    @task(max_active_tis_per_dagrun=1)
    def works(n):
        time.sleep(0.1)

    works.expand(n=[1, 2, 3])


@a_dag()
def nests_groups():
    @task
    def a():
        return 1

    @task_group
    def outer():
        first = a()

        @task_group(prefix_group_id=False)
        def inner():
            return a()

        chain(first, inner())

    outer() >> EmptyOperator(task_id="end", weight_rule="upstream", priority_weight=3)


@a_dag()
def is_empty():
    pass


@a_dag()
def waits_for_nothing():
    """Tasks that nobody depends on, with rules that have nothing to look at."""
    for rule in ("all_success", "all_done", "one_success", "all_failed", "all_skipped", "always", "none_skipped"):
        EmptyOperator(task_id=rule, trigger_rule=rule)


emits_asset_events()
reads_what_outlives_runs()
runs_code()
is_limited_in_tasks()
is_limited_in_mapped()
nests_groups()
is_empty()
waits_for_nothing()
