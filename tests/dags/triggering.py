"""DAGs that start runs of others, and those others."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, dag, task

START = datetime(2026, 1, 1, tzinfo=UTC)
NOTE = "started by a task"
WAITS = "{{ dag_run.conf.get('waits', '') }}"


@dag(schedule=None, start_date=START, catchup=False, params={"number": Param(1, type="integer")})
def triggered():
    @task
    def works(**context):
        run = context["dag_run"]
        with Path(run.conf["scratch"], "triggered").open("a") as notes:
            notes.write(f"{run.run_id}\n")
        while run.conf.get("waits") and not Path(run.conf["scratch"], "go").exists():
            time.sleep(0.05)
        if run.conf.get("fails"):
            raise RuntimeError("as asked")
        return {
            "run_type": run.run_type,
            "logical_date": str(run.logical_date),
            "run_after": str(run.run_after),
            "note": run.note,
            "number": context["params"]["number"],
        }

    works()


def triggers(task_id, conf=None, **arguments):
    return TriggerDagRunOperator(
        task_id=task_id,
        trigger_dag_id=arguments.pop("trigger_dag_id", "triggered"),
        conf={"scratch": "{{ dag_run.conf.scratch }}", **(conf or {})},
        **arguments,
    )


with DAG("triggers_in_every_way", schedule=None, start_date=START, catchup=False):
    first = triggers("first", trigger_run_id="first-{{ run_id }}", logical_date=START, note=NOTE, conf={"number": 7})
    again = triggers("again", trigger_run_id="first-{{ run_id }}")
    skips = triggers("skips", trigger_run_id="first-{{ run_id }}", skip_when_already_exists=True)
    same_date = triggers("same_date", logical_date=START)
    resets = triggers("resets", trigger_run_id="first-{{ run_id }}", reset_dag_run=True)
    first >> [again, skips, same_date, resets]
    waits = triggers("waits", wait_for_completion=True, poke_interval=0, fail_when_dag_is_paused=True)
    defers = triggers("defers", wait_for_completion=True, poke_interval=0, deferrable=True)
    triggers(
        "wants_failure",
        wait_for_completion=True,
        poke_interval=0,
        conf={"fails": 1},
        allowed_states=["failed"],
        failed_states=[],
    )
    triggers("meets_failure", wait_for_completion=True, poke_interval=0, conf={"fails": 1}, deferrable=True)
    triggers("only_run_after", run_after=START)
    triggers("misspelled", trigger_dag_id="trigered")
    triggers("wrong_conf", conf={"number": "seven"})


with DAG("starts_a_chain", schedule=None, start_date=START, catchup=False):
    triggers("starts", trigger_dag_id="chained", conf={"seconds": "{{ dag_run.conf.seconds }}", "waits": WAITS})


with DAG("chained", schedule=None, start_date=START, catchup=False):

    @task
    def sleeps(**context):
        time.sleep(float(context["dag_run"].conf["seconds"]))

    sleeps() >> triggers("starts", conf={"waits": WAITS})


with DAG("one_at_a_time", schedule=None, start_date=START, catchup=False, max_active_runs=1):

    @task
    def notes(**context):
        notes = Path(context["dag_run"].conf["scratch"], "turns")
        with notes.open("a") as file:
            file.write("begins\n")
        time.sleep(0.5)
        with notes.open("a") as file:
            file.write("ends\n")

    notes()


with DAG("triggers_many", schedule=None, start_date=START, catchup=False):
    TriggerDagRunOperator.partial(
        task_id="many", trigger_dag_id="one_at_a_time", conf={"scratch": "{{ dag_run.conf.scratch }}"}
    ).expand(trigger_run_id=["a", "b", "c"])
    triggers("far_away", trigger_run_id="far_away", run_after=datetime(2999, 1, 1, tzinfo=UTC))


with DAG("triggers_and_is_lost", schedule=None, start_date=START, catchup=False):
    triggers("waits", conf={"waits": 1}, wait_for_completion=True, poke_interval=1)


triggered()
