"""What failed tasks said under stock Airflow, from the logs of its home. It must not know why it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .environment import RUN_ID

KEY = "task_id="
MOST_CHARACTERS = 600


def task_errors(home: Path, dag_id: str) -> dict[str, str]:
    """The first error in the log of each task's last try, by task."""
    found = {}
    for log in _logs(home / "logs" / f"dag_id={dag_id}" / f"run_id={RUN_ID}"):
        task = next(part.removeprefix(KEY) for part in log.parts if part.startswith(KEY))
        if error := next(_errors(log), None):
            found[task] = error
    return found


def _logs(folder: Path) -> list[Path]:
    """Later tries come later."""
    logs = folder.glob(f"{KEY}*/**/attempt=*.log")
    return sorted(logs, key=lambda log: (log.parent, int(log.stem.partition("=")[2])))


def _errors(log: Path) -> Iterator[str]:
    for line in log.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        for error in entry.get("error_detail", ()):
            yield _text(error)


def _text(error: dict[str, Any]) -> str:
    return f"{error['exc_type']}: {error['exc_value']}"[:MOST_CHARACTERS]
