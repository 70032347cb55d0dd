# mypy: ignore-errors
"""Variables that tasks set, for whatever runs later."""

from __future__ import annotations

from airflow.sdk import Variable, dag, task


@dag(schedule=None)
def sets_variables():
    @task
    def sets():
        Variable.set("plain", "KEPT-VALUE", description="of a test")
        Variable.set("json", {"a": [1, None]}, serialize_json=True)
        Variable.set("json/deleted", "x")
        Variable.delete("json/deleted")
        Variable.delete("never there")
        return Variable.get("plain") == "KEPT-VALUE"

    @task(trigger_rule="all_done")
    def overwrites():
        Variable.set("plain", "KEPT-VALUE twice")

    sets() >> overwrites()


@dag(schedule=None)
def reads_variables():
    @task
    def reads(**context):
        return {
            "plain": (Variable.get("plain", default=None) or "").removeprefix("KEPT-VALUE"),
            "rendered": context["var"]["json"].json if Variable.get("json", default=None) else None,
            "absent": Variable.get("json/deleted", default="default"),
            "keys": [list(Variable.keys()), list(Variable.keys(prefix="js"))],
        }

    reads()


@dag(schedule=None)
def fills_variables():
    @task
    def fills():
        for number in range(20):
            Variable.set(f"large{number}", "x" * 100_000)

    fills()


sets_variables()
reads_variables()
fills_variables()
