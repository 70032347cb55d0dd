"""Reduces a serialized DAG to what scheduling decisions need.

Arguments, templates, params and documentation stay behind: they may hold secrets and would be read by nobody. What
only user code could compute (custom weight rules, custom timetables) is replaced by its result. The outcome is still
a dictionary that Airflow's own ``DagSerialization.from_dict`` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

CORE_TIMETABLES = "airflow.timetables."
NEVER_SCHEDULED = {"__type": "airflow.timetables.simple.NullTimetable", "__var": {}}
WEIGHT_RULES = frozenset({"downstream", "upstream", "absolute"})
DAG_EXTRAS = frozenset(
    {
        "default_args", "params", "doc_md", "tags", "owner_links", "edge_info", "access_control", "dag_dependencies",
        "deadline", "fileloc", "_processor_dags_folder",
    }
)  # fmt: skip
TASK_EXTRAS = frozenset(
    {
        "op_args", "op_kwargs", "params", "executor_config", "doc", "doc_md", "doc_json", "doc_rst", "doc_yaml",
        "ui_color", "ui_fgcolor", "template_fields", "template_ext", "template_fields_renderers", "templates_dict",
        "_operator_extra_links", "env", "resources", "map_index_template", "start_trigger_args",
    }
)  # fmt: skip

TASK_STRUCTURE = frozenset(
    {
        "_is_mapped", "_is_empty", "_is_sensor", "_can_skip_downstream", "_task_module", "_operator_name",
        "_expand_input_attr", "_disallow_kwargs_override", "has_retry_policy", "reschedule",
    }
)  # fmt: skip
"""What ``OperatorSerialization`` says of a task besides its fields."""


def reduce_to_structure(serialized: dict[str, Any], dag: SerializedDAG) -> dict[str, Any]:
    """A copy of a serialized DAG without anything that decisions don't need.

    Args:
        serialized: from ``DagSerialization.to_dict``.
        dag: the same, deserialized where user code may run.
    """
    outer = {name: value for name, value in serialized["dag"].items() if name not in DAG_EXTRAS}
    outer["tasks"] = [{**task, "__var": _reduce_task(task["__var"], dag)} for task in outer["tasks"]]
    outer["params"] = []
    if not outer["timetable"]["__type"].startswith(CORE_TIMETABLES):
        outer["timetable"] = NEVER_SCHEDULED
    return {**serialized, "dag": outer}


def _reduce_task(task: dict[str, Any], dag: SerializedDAG) -> dict[str, Any]:
    known = _fields_of_every_task() - TASK_EXTRAS - set(task.get("template_fields", ()))
    structure = known | TASK_STRUCTURE | {task.get("_expand_input_attr")}
    kept = {name: value for name, value in task.items() if name in structure}
    if task.get("start_from_trigger") and task.get("start_trigger_args"):
        kept["start_trigger_args"] = {**task["start_trigger_args"], "trigger_kwargs": None, "next_kwargs": None}
    expansion = task.get("_expand_input_attr")
    if expansion:
        kept[expansion] = _blank_literals(task[expansion])
    if "partial_kwargs" in task:
        partial = {name: value for name, value in task["partial_kwargs"].items() if name in known}
        kept["partial_kwargs"] = _settle_weight(partial, task["task_id"], dag)
    return _settle_weight(kept, task["task_id"], dag)


def _fields_of_every_task() -> frozenset[str]:
    """What Airflow's scheduler knows of any task; all else is its operator's own."""
    from airflow.serialization.definitions.baseoperator import SerializedBaseOperator

    return frozenset({*SerializedBaseOperator.get_serialized_fields(), "has_retry_policy", "task_display_name"})


def _settle_weight(arguments: dict[str, Any], task_id: str, dag: SerializedDAG) -> dict[str, Any]:
    """Ask a custom weight rule once, here, and let its answer travel."""
    if arguments.get("weight_rule", "downstream") in WEIGHT_RULES:
        return arguments
    from airflow.models.taskinstance import TaskInstance

    ti = TaskInstance(dag.get_task(task_id), dag_version_id=None, run_id=None)
    return {**arguments, "weight_rule": "absolute", "priority_weight": ti.priority_weight}


def _blank_literals(expansion: dict[str, Any]) -> dict[str, Any]:
    """Keep only the shape of what a task maps over: references to other tasks, and the length of literals."""
    return {**expansion, "value": _blank(expansion["value"])}


def _blank(value: Any) -> Any:
    match value:
        case {"__type": "dict", "__var": dict(inner)}:
            return {"__type": "dict", "__var": {name: _blank_mapped(item) for name, item in inner.items()}}
        case _:
            return _blank_mapped(value)


def _blank_mapped(value: Any) -> Any:
    match value:
        case {"__type": "dict", "__var": dict(inner)}:
            return {"__type": "dict", "__var": dict.fromkeys(inner)}
        case {"__type": kind, "__var": list(items)}:
            return {"__type": kind, "__var": [None] * len(items)}
        case list():
            return [None] * len(value)
        case _:
            return value  # a reference to another task
