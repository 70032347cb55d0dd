"""What this version can't run, in one table: refused before a run starts, naming DAG, task, feature and remedy.

The documentation prints the same table. A rule looks at the DAG as its file defines it, in a parse process. It must
not refuse anything that Airflow itself would refuse or that merely differs in speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG

Operator = Any
"""A task of a parsed DAG: an operator, or a mapped operator whose arguments are in ``partial_kwargs``."""

DEFAULT_POOL = "default_pool"
HITL_MODULE = "airflow.providers.standard.operators.hitl"
CROSS_DAG_OPERATORS = {"TriggerDagRunOperator", "ExternalTaskSensor"}
DAG_RUN_HOOKS = ("on_dag_run_running", "on_dag_run_success", "on_dag_run_failed")

EXAMPLE_PLUGINS = "airflow.example_dags."
"""Airflow's own demonstration listener, which only prints; there unless ``[core] load_examples`` is off."""


@dataclass(frozen=True)
class Refusal:
    """One feature that can't be run.

    Attributes:
        feature: its name in Airflow's words.
        remedy: what the user can do instead.
        of_task: whether a task uses it.
        of_dag: whether a DAG uses it.
        of_installation: whether this Airflow installation uses it for every DAG.
    """

    feature: str
    remedy: str
    of_task: Callable[[Operator], bool] | None = None
    of_dag: Callable[[DAG], bool] | None = None
    of_installation: Callable[[], bool] | None = None


def _argument(task: Operator, name: str, default: Any = None) -> Any:
    """An operator's argument, mapped or not."""
    if name in getattr(task, "partial_kwargs", {}):
        return task.partial_kwargs[name]
    return getattr(task, name, default)


def _class_names(task: Operator) -> set[str]:
    operator_class = getattr(task, "operator_class", type(task))
    return {base.__name__ for base in getattr(operator_class, "__mro__", ())}


def _modules(task: Operator) -> set[str]:
    operator_class = getattr(task, "operator_class", type(task))
    return {base.__module__ for base in getattr(operator_class, "__mro__", ())}


def _starts_from_trigger(task: Operator) -> bool:
    return bool(_argument(task, "start_from_trigger", False))


def _has_assets(task: Operator, name: str) -> bool:
    return bool(_argument(task, name))


def _mutation_hook_is_set() -> bool:
    from airflow import settings

    return not getattr(settings.task_instance_mutation_hook, "is_noop", False)


def _listens_to_dag_runs() -> bool:
    from airflow.listeners.listener import get_listener_manager

    hook = get_listener_manager().hook
    listeners = {listener.plugin_name for name in DAG_RUN_HOOKS for listener in getattr(hook, name).get_hookimpls()}
    return any(not name.startswith(EXAMPLE_PLUGINS) for name in listeners)


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "operators that start in the triggerer (start_from_trigger)",
        "set start_from_trigger=False: the operator then defers itself",
        of_task=_starts_from_trigger,
    ),
    Refusal(
        "human-in-the-loop operators",
        "run this DAG under Airflow until approvals are supported",
        of_task=lambda task: HITL_MODULE in _modules(task),
    ),
    Refusal(
        "operators that start or watch other DAGs (TriggerDagRunOperator, ExternalTaskSensor)",
        "start the other DAG with `temporal-airflow trigger`",
        of_task=lambda task: bool(_class_names(task) & CROSS_DAG_OPERATORS),
    ),
    Refusal(
        "pools other than default_pool",
        "remove pool=..., or limit the run with max_active_tasks or max_active_tis_per_dagrun",
        of_task=lambda task: _argument(task, "pool", DEFAULT_POOL) != DEFAULT_POOL,
    ),
    Refusal(
        "max_active_tis_per_dag (a limit across runs)",
        "use max_active_tis_per_dagrun",
        of_task=lambda task: _argument(task, "max_active_tis_per_dag") is not None,
    ),
    Refusal(
        "depends_on_past and wait_for_downstream",
        "remove them: previous runs are not consulted",
        of_task=lambda task: bool(_argument(task, "depends_on_past")) or bool(_argument(task, "wait_for_downstream")),
    ),
    Refusal(
        "asset inlets",
        "remove inlets=...: earlier asset events are not consulted",
        of_task=lambda task: _has_assets(task, "inlets"),
    ),
    Refusal(
        "run_as_user",
        "run the worker as that user",
        of_task=lambda task: bool(_argument(task, "run_as_user")),
    ),
    Refusal(
        "a task's own executor",
        "remove executor=...: tasks run where a worker serves their queue",
        of_task=lambda task: bool(_argument(task, "executor")),
    ),
    Refusal(
        "tasks in another language (@task.stub)",
        "run this DAG under Airflow",
        of_task=lambda task: "_StubOperator" in _class_names(task),
    ),
    Refusal(
        "deadline alerts",
        "remove deadline=..., or use dagrun_timeout",
        of_dag=lambda dag: bool(dag.deadline),
    ),
    Refusal(
        "max_consecutive_failed_dag_runs",
        "remove it: runs are not counted across",
        of_dag=lambda dag: dag.max_consecutive_failed_dag_runs > 0,
    ),
    Refusal(
        "task_instance_mutation_hook",
        "remove it from airflow_local_settings.py or the policy plugin, or use task_policy",
        of_installation=_mutation_hook_is_set,
    ),
    Refusal(
        "listeners of DAG runs (on_dag_run_running, on_dag_run_success, on_dag_run_failed)",
        "disable the plugin that listens, or use the DAG's callbacks",
        of_installation=_listens_to_dag_runs,
    ),
)


def problems(dag: DAG) -> list[str]:
    """Every reason why this DAG can't be run, one line each; empty if it can."""
    return [line for refusal in REFUSALS for line in _lines(refusal, dag)]


def warnings(dag: DAG) -> Iterator[str]:
    """What works differently for this DAG, though it runs."""
    with_outlets = [task.task_id for task in dag.tasks if _has_assets(task, "outlets")]
    if with_outlets:
        yield f"Asset events of {_enumerate(with_outlets)} are kept in the run's history; they start no other DAG."


def _lines(refusal: Refusal, dag: DAG) -> Iterator[str]:
    if refusal.of_installation and refusal.of_installation():
        yield f"This Airflow installation uses {refusal.feature}: {refusal.remedy}."
    if refusal.of_dag and refusal.of_dag(dag):
        yield f"DAG {dag.dag_id!r} uses {refusal.feature}: {refusal.remedy}."
    if refusal.of_task:
        users = [task.task_id for task in dag.tasks if refusal.of_task(task)]
        if users:
            yield f"DAG {dag.dag_id!r}, task {_enumerate(users)} uses {refusal.feature}: {refusal.remedy}."


def _enumerate(names: Iterable[str], most: int = 5) -> str:
    quoted = [repr(name) for name in sorted(names)]
    return ", ".join(quoted[:most]) + (f" and {len(quoted) - most} more" if len(quoted) > most else "")
