"""What unit tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import DAG

from engine_play import Play


@pytest.fixture
def play() -> Iterator[Callable[..., Play]]:
    plays: list[Play] = []

    def start(dag: DAG, given: dict[str, Any] | None = None, **limits: Any) -> Play:
        plays.append(Play(dag, given, **limits))
        return plays[-1]

    yield start
    for each in plays:
        each.engine.dispose()
