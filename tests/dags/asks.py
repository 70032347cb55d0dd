"""DAGs whose tasks ask people."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.standard.operators.hitl import (
    ApprovalOperator,
    HITLBranchOperator,
    HITLEntryOperator,
    HITLOperator,
)
from airflow.providers.standard.triggers.hitl import HITLTrigger
from airflow.sdk import DAG, BaseOperator, Param, task
from airflow.sdk.execution_time.hitl import upsert_hitl_detail
from airflow.sdk.log import mask_secret

START = datetime(2024, 1, 1)
SHORT = timedelta(seconds=1)


class AsksInTrigger(BaseOperator):
    """Asks, and waits in the trigger that Airflow used before 3.3."""

    def __init__(self, timeout=None, defaults=None, **arguments):
        super().__init__(**arguments)
        self.timeout, self.defaults = timeout, defaults

    def execute(self, context):
        ti_id = context["task_instance"].id
        upsert_hitl_detail(ti_id=ti_id, options=["yes", "no"], subject="In a trigger?", defaults=self.defaults)
        trigger = HITLTrigger(
            ti_id=ti_id,
            options=["yes", "no"],
            defaults=self.defaults,
            params={},
            timeout_datetime=self.timeout and datetime.now().astimezone() + self.timeout,
            poke_interval=0.2,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"own": "kept"})

    def resume(self, context, own, event):
        return [own, event["chosen_options"], event["timedout"]]


with DAG("asks", schedule=None, start_date=START):

    @task
    def ships(): ...

    @task
    def holds(): ...

    entry = HITLEntryOperator(
        task_id="enters",
        subject="How many on {{ ds }}?",
        body="As **many** as you like.",
        params={"number": Param(1, type="integer", minimum=1), "note": Param("", type="string")},
    )
    branch = HITLBranchOperator(
        task_id="branches",
        subject="Ship or hold?",
        options=["ship", "hold"],
        options_mapping={"ship": "ships", "hold": "holds"},
        assigned_users=[{"id": "7", "name": "ann"}, {"id": "8", "name": "bob"}],
    )
    entry >> branch >> [ships(), holds()]

with DAG("asks_for_approval", schedule=None, start_date=START):

    @task
    def after(): ...

    ApprovalOperator(task_id="approves", subject="Go?") >> after()

with DAG("asks_many", schedule=None, start_date=START):
    HITLOperator.partial(task_id="chooses", options=["a", "b", "c"], multiple=True).expand(subject=["one", "two"])

with DAG("asks_in_vain", schedule=None, start_date=START):
    HITLOperator(
        task_id="by_default",
        subject="Which?",
        options=["a", "b"],
        defaults="b",
        params={"number": Param(5)},
        response_timeout=SHORT,
    )
    HITLOperator(
        task_id="lacks_a_key",
        subject="Which?",
        options=["a", "b"],
        defaults="b",
        params={"password": Param("from the file")},
        response_timeout=SHORT,
    )
    HITLOperator(
        task_id="fails_twice",
        subject="Which?",
        options=["a"],
        response_timeout=SHORT,
        retries=1,
        retry_delay=timedelta(0),
    )

with DAG("asks_in_triggers", schedule=None, start_date=START):
    AsksInTrigger(task_id="answered")
    AsksInTrigger(task_id="by_default", timeout=SHORT, defaults=["no"])

with DAG("asks_with_secrets", schedule=None, start_date=START):

    @task
    def nothing(): ...

    class AsksWithSecrets(HITLOperator):
        def execute(self, context):
            mask_secret("s3cret-word")
            self.subject = "The word is s3cret-word"
            self.body = "Don't tell: s3cret-word"
            super().execute(context)

    (
        AsksWithSecrets(
            task_id="asks",
            subject="",
            options=["ok", "no"],
            params={"token": Param("s3cret-word", description="not s3cret-word", type="string")},
            defaults="ok",
        )
        >> nothing()
    )
