"""Builds the stock DAG of a case.

What Airflow refuses in a DAG file is made what it accepts: trigger rules after setups, under ``fail_fast``, in mapped
groups.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator
from airflow.sdk import DAG, TaskGroup, task_group
from airflow.task.trigger_rule import TriggerRule

from .case import Case, Group, Kind, Node, Over, Task

START = datetime(2026, 5, 1, tzinfo=UTC)
RETRY_DELAY = 60.0
"""Seconds."""

OPERATORS: dict[Kind, tuple[type[Any], dict[str, Any]]] = {
    Kind.PLAIN: (PythonOperator, {}),
    Kind.EMPTY: (EmptyOperator, {}),
    Kind.BRANCH: (BranchPythonOperator, {}),
    Kind.SHORT_CIRCUIT: (ShortCircuitOperator, {}),
    Kind.SHORT_CIRCUIT_DIRECT: (ShortCircuitOperator, {"ignore_downstream_trigger_rules": False}),
    Kind.SETUP: (PythonOperator, {}),
    Kind.TEARDOWN: (PythonOperator, {}),
    Kind.FAILING_TEARDOWN: (PythonOperator, {}),
}
TEARDOWNS = (Kind.TEARDOWN, Kind.FAILING_TEARDOWN)


def nothing(*_: Any, **__: Any) -> None:
    """What every task would do, if it were run."""


class DagBuilder:
    """Turns the nodes of a case into operators.

    Attributes:
        tasks: the case's tasks by task id.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._built: list[Any] = []
        self.tasks: dict[str, Task] = {}

    def build(self) -> DAG:
        """The DAG."""
        case = self._case
        with DAG(
            "case", schedule=None, start_date=START, max_active_tasks=case.max_active_tasks, fail_fast=case.fail_fast
        ) as dag:
            self._add(case.nodes, in_mapped_group=False)
        for operator in dag.tasks:
            if any(upstream.is_setup for upstream in operator.upstream_list) and not operator.is_teardown:
                operator.trigger_rule = TriggerRule.ALL_SUCCESS
        dag.relative_fileloc = "case.py"  # as the DAG processor sets it
        dag.validate()
        return dag

    def _add(self, nodes: tuple[Node, ...], in_mapped_group: bool) -> None:
        for node in nodes:
            number = len(self._built)
            self._built.append(None)
            if isinstance(node, Task):
                built = self._task(node, f"t{number}", in_mapped_group)
                self.tasks[built.task_id] = node
            else:
                built = self._group(node, f"g{number}", in_mapped_group)
            self._built[number] = built
            for earlier in node.after:
                self._built[earlier] >> built

    def _task(self, node: Task, task_id: str, in_mapped_group: bool) -> Any:
        operator_class, arguments = OPERATORS[node.kind]
        arguments = {
            **arguments,
            "task_id": task_id,
            "retries": node.retries,
            "retry_delay": RETRY_DELAY,
            "max_active_tis_per_dagrun": node.limit,
            "trigger_rule": self._rule(node.rule, in_mapped_group),
        }
        if self._case.limited:
            arguments |= {"priority_weight": node.weight, "weight_rule": "absolute"}
        if node.kind != Kind.EMPTY:
            arguments["python_callable"] = nothing
        if node.over is None or in_mapped_group or node.kind == Kind.EMPTY:
            operator = operator_class(**arguments)
        else:
            operator = operator_class.partial(**arguments).expand(**self._expansion(node.over))
        if node.kind == Kind.SETUP:
            operator.as_setup()
        elif node.kind in TEARDOWNS:
            setups = [self._built[setup] for setup in node.setups]
            operator.as_teardown(setups=setups, on_failure_fail_dagrun=node.kind == Kind.FAILING_TEARDOWN)
        return operator

    def _rule(self, rule: TriggerRule, in_mapped_group: bool) -> TriggerRule:
        refused = self._case.fail_fast or (in_mapped_group and rule == TriggerRule.ALWAYS)
        return TriggerRule.ALL_SUCCESS if refused else rule

    def _expansion(self, over: Over) -> dict[str, Any]:
        literals: list[list[Any]] | None = [[] for _ in range(over.length)] if over.length is not None else None
        if over.node is None:
            return {"op_args": literals or []}
        output = self._built[over.node].output
        return {"op_args": output} if literals is None else {"op_args": output, "templates_dict": literals}

    def _group(self, node: Group, group_id: str, in_mapped_group: bool) -> Any:
        if node.over is None or in_mapped_group:
            with TaskGroup(group_id, prefix_group_id=False) as group:
                self._add(node.members, in_mapped_group)
            return group

        def members(first: Any = None, second: Any = None) -> None:
            self._add(node.members, in_mapped_group=True)

        lists = zip(("first", "second"), self._expansion(node.over).values(), strict=False)
        return task_group(group_id=group_id, prefix_group_id=False)(members).expand(**dict(lists))
