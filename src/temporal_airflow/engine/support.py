"""What this version can't run, in one table: refused before a run starts, naming DAG, task, feature and remedy.

The documentation prints the same table. A rule looks at the DAG as its file defines it, in a parse process. It must
not refuse anything that Airflow itself would refuse or that merely differs in speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow.sdk.definitions.deadline import DeadlineAlert

Operator = Any
"""A task of a parsed DAG: an operator, or a mapped operator whose arguments are in ``partial_kwargs``."""

BUILTIN_REFERENCES = {"airflow.sdk.definitions.deadline", "airflow.models.deadline"}
"""Modules of Airflow's own reference points of deadlines."""

ASSET_HOOKS = ("on_asset_created", "on_asset_alias_created", "on_asset_changed", "on_asset_event_emitted")


@dataclass(frozen=True)
class Refusal:
    """One feature that can't be run.

    Attributes:
        feature: its name in Airflow's words.
        remedy: what the user can do instead.
        of_task: whether a task uses it.
        of_dag: whether a DAG uses it.
    """

    feature: str
    remedy: str
    of_task: Callable[[Operator], bool] | None = None
    of_dag: Callable[[DAG], bool] | None = None


def argument(task: Operator, name: str, default: Any = None) -> Any:
    """An operator's argument, mapped or not."""
    if name in getattr(task, "partial_kwargs", {}):
        return task.partial_kwargs[name]
    return getattr(task, name, default)


def _class_names(task: Operator) -> set[str]:
    operator_class = getattr(task, "operator_class", type(task))
    return {base.__name__ for base in getattr(operator_class, "__mro__", ())}


def _has_assets(task: Operator, name: str) -> bool:
    return bool(argument(task, name))


def deadline_alerts(dag: DAG) -> list[DeadlineAlert]:
    """The deadlines of a DAG; Airflow has made a list of them."""
    return cast("list[DeadlineAlert]", dag.deadline or [])


def _has_own_reference(alert: DeadlineAlert) -> bool:
    return type(alert.reference).__module__ not in BUILTIN_REFERENCES


def _asset_manager_is_custom() -> bool:
    from airflow.configuration import conf

    return bool(conf.get("core", "asset_manager_class", fallback=""))


def _listens_to_assets() -> bool:
    from airflow.listeners.listener import get_listener_manager

    hook = get_listener_manager().hook
    return any(getattr(hook, name).get_hookimpls() for name in ASSET_HOOKS)


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "outlets with listeners of assets (on_asset_changed, on_asset_event_emitted)",
        "disable the plugin that listens",
        of_task=lambda task: _has_assets(task, "outlets") and _listens_to_assets(),
    ),
    Refusal(
        "outlets with an asset manager of one's own ([core] asset_manager_class)",
        "remove the setting",
        of_task=lambda task: _has_assets(task, "outlets") and _asset_manager_is_custom(),
    ),
    Refusal(
        "run_as_user",
        "run the worker as that user",
        of_task=lambda task: bool(argument(task, "run_as_user")),
    ),
    Refusal(
        "a task's own executor",
        "remove executor=...: tasks run where a worker serves their queue",
        of_task=lambda task: bool(argument(task, "executor")),
    ),
    Refusal(
        "tasks in another language (@task.stub)",
        "run this DAG under Airflow",
        of_task=lambda task: "_StubOperator" in _class_names(task),
    ),
    Refusal(
        "deadlines with a reference point of one's own",
        "use one of DeadlineReference: there is no metadata database to ask",
        of_dag=lambda dag: any(_has_own_reference(alert) for alert in deadline_alerts(dag)),
    ),
    Refusal(
        "deadline callbacks with an executor of their own",
        "remove executor=... from SyncCallback",
        of_dag=lambda dag: any(getattr(alert.callback, "executor", None) for alert in deadline_alerts(dag)),
    ),
    Refusal(
        "max_consecutive_failed_dag_runs",
        "remove it: runs are not counted across",
        of_dag=lambda dag: dag.max_consecutive_failed_dag_runs > 0,
    ),
)


def problems(dag: DAG) -> list[str]:
    """Every reason why this DAG can't be run, one line each; empty if it can."""
    return [line for refusal in REFUSALS for line in _lines(refusal, dag)]


def warnings(dag: DAG) -> Iterator[str]:
    """What works differently for this DAG, though it runs."""
    with_outlets = [task.task_id for task in dag.tasks if _has_assets(task, "outlets")]
    if with_outlets:
        yield f"Asset events of {_enumerate(with_outlets)} are recorded; they start no other DAG."


def _lines(refusal: Refusal, dag: DAG) -> Iterator[str]:
    if refusal.of_dag and refusal.of_dag(dag):
        yield f"DAG {dag.dag_id!r} uses {refusal.feature}: {refusal.remedy}."
    if refusal.of_task:
        users = [task.task_id for task in dag.tasks if refusal.of_task(task)]
        if users:
            yield f"DAG {dag.dag_id!r}, task {_enumerate(users)} uses {refusal.feature}: {refusal.remedy}."


def _enumerate(names: Iterable[str], most: int = 5) -> str:
    quoted = [repr(name) for name in sorted(names)]
    return ", ".join(quoted[:most]) + (f" and {len(quoted) - most} more" if len(quoted) > most else "")
