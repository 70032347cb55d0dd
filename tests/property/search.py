"""Searches for cases in which our engine and stock Airflow differ: ``uv run python -m tests.property.search``.

Hypothesis draws a DAG and what its tasks do; both sides play it (``comparison.py``) and must agree after every step on
all states, tries, map indexes, on what starts and what it is told, on when something is due, and on the run's state.
What is found is printed as a program, after it was made small.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .case import Case
    from .reference import Reference

BATCH = 250
"""Cases between two lines of progress; each batch has a seed of its own."""

PROGRAM = """
from airflow.task.trigger_rule import TriggerRule
from tests.property.case import Case, End, Group, Kind, Outcome, Over, Task, Turn
from tests.property.search import replay

replay({case})
"""
"""Shows a difference again."""


@dataclass(frozen=True)
class Found:
    """A case in which the two sides differ; printed as a program."""

    case: Case
    error: BaseException

    def __str__(self) -> str:
        return f"{self.error}\n{PROGRAM.format(case=self.case)}"


def search(reference: Reference, cases: int, seed: int, shrink: bool = True) -> Found | None:
    """Try cases until one differs.

    Args:
        reference: a :class:`~.reference.Reference`.
        cases: how many.
        seed: decides which.
        shrink: whether to make a case that was found smaller.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as with_seed

    from .comparison import check
    from .strategies import cases as drawn_cases

    found: list[Found] = []

    def agree(case: Case) -> None:
        try:
            check(case, reference)
        except Exception as error:
            found[:] = [Found(case, error)]
            raise

    limits = settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    property_: Callable[[], None] = with_seed(seed)(limits(given(drawn_cases())(agree)))
    try:
        property_()
    except Exception:
        if not found:
            raise
        return found[0]
    return None


def replay(case: Case) -> None:
    """Play one case and print how the two sides differ, or that they agree."""
    with _reference() as reference:
        from .comparison import check

        steps = check(case, reference)
        print(f"the two sides agree over {steps} steps")


def _reference() -> closing[Reference]:
    """Stock Airflow in a process, and our engine's imports in this one."""
    home = tempfile.mkdtemp(prefix="temporal-airflow-property-")
    os.environ |= {"AIRFLOW_HOME": home, "_AIRFLOW__AS_LIBRARY": "1", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    from temporal_airflow.engine.airflow_library import import_scheduling_code

    import_scheduling_code()
    from .reference import Reference

    return closing(Reference(Path(tempfile.mkdtemp(prefix="temporal-airflow-stock-"))))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    begin = time.monotonic()
    with _reference() as reference:
        for done in range(0, arguments.cases, BATCH):
            found = search(reference, min(BATCH, arguments.cases - done), arguments.seed + done)
            if found is not None:
                print(f"batch seed {arguments.seed + done}\n{found}")
                return 1
            print(f"{min(done + BATCH, arguments.cases)} cases agree, {time.monotonic() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
