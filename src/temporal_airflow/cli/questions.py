"""What the tasks of a run ask of people, and the command that answers. It only formats."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from temporal_airflow.identifiers import task_label
from temporal_airflow.models import DagRunRecord, InputRequest, TaskInstanceRecord

PROGRAM = "temporal-airflow"
SHOWN_QUESTIONS = 5
"""Tasks whose question is shown; the others' are shown once these are answered."""


def questions(record: DagRunRecord, program: str = PROGRAM) -> Iterator[Text]:
    """Every question that is open, with the command that answers it.

    Args:
        record: of the run.
        program: how the command line is called from another terminal.
    """
    asking = [ti for ti in record.task_instances if ti.input_request]
    for ti in asking[:SHOWN_QUESTIONS]:
        yield Text("\n").join([Text(), *question(record, ti, program)])
    if len(asking) > SHOWN_QUESTIONS:
        yield Text(f"\n... and {len(asking) - SHOWN_QUESTIONS} more tasks wait for an answer.")


def question(record: DagRunRecord, ti: TaskInstanceRecord, program: str = PROGRAM) -> Iterator[Text]:
    """What one task asks, line by line."""
    request = ti.input_request
    assert request is not None, "it asks"
    yield Text.assemble((task_label(ti.task_id, ti.map_index), "bold"), f" asks: {request.subject}")
    for line in (request.body or "").strip().splitlines():
        yield Text(f"  {line.strip()}")
    yield Text(f"  options: {', '.join(request.options)}{' (several may be chosen)' if request.multiple else ''}")
    for name, param in request.params.items():
        yield Text(f"  param {name}: {_described(param)}")
    if ti.wakes_at:
        otherwise = f"then: {', '.join(request.defaults)}" if request.defaults else "then the task fails"
        yield Text(f"  until {ti.wakes_at.astimezone():%Y-%m-%d %H:%M:%S}, {otherwise}")
    if request.assigned_users:
        yield Text(f"  to be answered by: {', '.join(user.name for user in request.assigned_users)}")
    yield Text.assemble("  answer: ", (_command(record, ti, request, program), "cyan"))


def _described(param: Any) -> str:
    if not isinstance(param, dict) or "value" not in param:
        return repr(param)
    parts = [str(param["description"])] if param.get("description") else []
    parts += [str(kind) for kind in [(param.get("schema") or {}).get("type")] if kind]
    parts += [f"default {param['value']!r}"] if param["value"] is not None else []
    return ", ".join(parts)


def _command(record: DagRunRecord, ti: TaskInstanceRecord, request: InputRequest, program: str) -> str:
    words = ["respond", f"{record.run.dag_id}/{record.run.run_id}", ti.task_id]
    if ti.map_index >= 0:
        words += ["--map-index", str(ti.map_index)]
    if len(request.options) > 1:
        words += ["--choose", request.options[0]]
    if request.params:
        fields = ", ".join(f'"{name}": ...' for name in request.params)
        words += ["--params", f"{{{fields}}}"]
    if request.assigned_users:
        words += ["--user", request.assigned_users[0].id]
    return f"{program} {shlex.join(words)}"
