# mypy: ignore-errors
"""What both sides import by its path: callbacks of deadlines, which a triggerer finds in no DAG file, and mail."""

from __future__ import annotations

import re
from pathlib import Path


def leave(context, line: str) -> None:
    deadline = context["deadline"]
    with (Path(context["dag_run"]["conf"]["scratch"]) / "missed").open("a") as notes:
        notes.write(f"{line}: {sorted(context)} {sorted(deadline)}\n")
        notes.write(f"{line}: run {sorted(context['dag_run'])}\n")


def called(context, text: str = "none", **others) -> None:
    leave(context, f"called {text} {sorted(others)}")


async def awaited(context, text: str = "none") -> None:
    leave(context, f"awaited {text}")


def called_without_context(path: str) -> None:
    with Path(path).open("a") as notes:
        notes.write("called without context\n")


def broken(context) -> None:
    leave(context, "broken")
    raise ValueError("a callback that fails changes nothing")


def send(to, subject, html_content, **_) -> None:
    """The email backend: the address is a file."""
    task_id = re.search(r"task_id='(\w+)'", subject) or re.search(r"(\w+)", subject)
    with Path(to if isinstance(to, str) else to[0]).open("a") as mails:
        mails.write(f"{task_id[1]}: {html_content.partition('<br>')[0]}\n")
