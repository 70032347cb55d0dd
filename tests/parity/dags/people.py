# mypy: ignore-errors
"""Tasks that ask people; ``tests/parity/answers.py`` has the answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import (
    ApprovalOperator,
    HITLBranchOperator,
    HITLEntryOperator,
    HITLOperator,
)
from airflow.providers.standard.triggers.hitl import HITLTrigger
from airflow.sdk import BaseNotifier, BaseOperator, Param, task
from airflow.sdk.execution_time.hitl import upsert_hitl_detail
from leave_notes import a_dag, note, task_called

SHORT = timedelta(seconds=3)
CALLED = {
    "on_execute_callback": task_called("execute"),
    "on_failure_callback": task_called("failure"),
    "on_success_callback": task_called("success"),
    "on_retry_callback": task_called("retry"),
    "on_skipped_callback": task_called("skipped"),
}


class Notifies(BaseNotifier):
    """Notes what is asked."""

    template_fields = ("message",)

    def __init__(self):
        super().__init__()
        self.message = "{{ task.subject }} {{ task.body }} {{ task.options }} in try {{ ti.try_number }}"

    def notify(self, context):
        note(context, "notified", self.message)


class AsksInTrigger(BaseOperator):
    """Asks, and waits as before Airflow 3.3."""

    def __init__(self, timeout=None, defaults=None, **arguments):
        super().__init__(**arguments)
        self.timeout, self.defaults = timeout, defaults

    def execute(self, context):
        ti_id = context["task_instance"].id
        upsert_hitl_detail(
            ti_id=ti_id, options=["yes", "no"], subject="In a trigger?", defaults=self.defaults, params={}
        )
        trigger = HITLTrigger(
            ti_id=ti_id,
            options=["yes", "no"],
            defaults=self.defaults,
            params={},
            timeout_datetime=self.timeout and datetime.now(UTC) + self.timeout,
            poke_interval=0.5,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"own": "kept"})

    def resume(self, context, own, event):
        if "error" in event:
            return [own, event["error_type"]]
        return [own, event["chosen_options"], event["params_input"], event["timedout"]]


@a_dag()
def asks_people():
    @task
    def reads(given, **context):
        return [given["chosen_options"], given["params_input"], sorted(given)]

    one = HITLOperator(
        task_id="one",
        subject="On {{ ds }}?",
        body="Run {{ run_id }}",
        options=["a", "b", "c"],
        notifiers=[Notifies()],
        **CALLED,
    )
    several = HITLOperator(task_id="several", subject="Which?", options=["a", "b", "c"], multiple=True)
    enters = HITLEntryOperator(
        task_id="enters",
        subject="What?",
        params={
            "number": Param(1, type="integer", minimum=1),
            "words": Param(["w"], type="array"),
            "note": Param(None, type=["null", "string"], description="anything"),
        },
    )
    reads(one.output)
    reads(several.output)
    reads(enters.output)
    HITLEntryOperator(task_id="enters_nothing", subject="What?", params={"number": 5})
    options = ["to the left", "right"]
    branches = HITLBranchOperator(
        task_id="branches", subject="Where?", options=options, options_mapping={"to the left": "left"}
    )
    (
        branches
        >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]
        >> EmptyOperator(task_id="joined", trigger_rule="none_failed_min_one_success")
    )
    both = HITLBranchOperator(
        task_id="branches_both", subject="Where?", options=["up", "down", "nowhere"], multiple=True
    )
    both >> [EmptyOperator(task_id=name) for name in ("up", "down", "nowhere")]
    HITLOperator.partial(task_id="mapped", options=["yes", "no"], map_index_template="{{ task.subject }}").expand(
        subject=["first", "second"]
    )
    AsksInTrigger(task_id="in_trigger", **CALLED)
    AsksInTrigger(task_id="in_trigger_by_default", timeout=SHORT, defaults=["no"])
    AsksInTrigger(task_id="in_trigger_in_vain", timeout=SHORT)


@a_dag()
def asks_for_approval():
    def asked(task_id, **arguments):
        approval = ApprovalOperator(task_id=task_id, subject="Go?", **arguments, **CALLED)
        after = EmptyOperator(task_id=f"after_{task_id}")
        anyway = EmptyOperator(task_id=f"anyway_{task_id}", trigger_rule="all_done")
        approval >> after >> anyway
        approval >> EmptyOperator(task_id=f"always_{task_id}", trigger_rule="all_done")

    asked("approves")
    asked("rejects")
    asked("rejects_all", ignore_downstream_trigger_rules=True)
    asked("fails", fail_on_reject=True)
    asked("thinks_again", fail_on_reject=True, retries=1, retry_delay=3)
    ApprovalOperator(task_id="rejects_with_nothing_after", subject="Go?")


@a_dag()
def asks_in_vain():
    by_default = HITLOperator(
        task_id="by_default",
        subject="Which?",
        options=["a", "b", "c"],
        multiple=True,
        defaults=["c", "a"],
        params={"number": Param(5, type="integer"), "plain": "value", "nothing": None},
        response_timeout=SHORT,
        **CALLED,
    )
    by_default >> EmptyOperator(task_id="after_by_default")
    in_vain = HITLOperator(task_id="in_vain", subject="Which?", options=["a"], response_timeout=SHORT, **CALLED)
    in_vain >> EmptyOperator(task_id="after_in_vain")
    HITLOperator(
        task_id="in_vain_twice",
        subject="Which?",
        options=["a"],
        response_timeout=SHORT,
        retries=1,
        retry_delay=3,
        notifiers=Notifies(),
        **CALLED,
    )
    ApprovalOperator(task_id="rejects", subject="Go?", defaults="Reject", response_timeout=SHORT) >> EmptyOperator(
        task_id="after_rejects"
    )
    HITLBranchOperator(
        task_id="branches", subject="Where?", options=["here", "there"], defaults="there", response_timeout=SHORT
    ) >> [EmptyOperator(task_id="here"), EmptyOperator(task_id="there")]


@a_dag(dagrun_timeout=timedelta(seconds=30))
def asks_for_too_long():
    HITLOperator(task_id="waits", subject="Which?", options=["a"]) >> EmptyOperator(task_id="after")


asks_people()
asks_for_approval()
asks_in_vain()
asks_for_too_long()
