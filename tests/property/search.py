"""Searches for cases in which our engine and stock Airflow differ: ``uv run python -m tests.property.search``.

Hypothesis draws a DAG and what its tasks do; both sides play it (``comparison.py``) and must agree after every step on
all states, tries, map indexes, on what starts and what it is told, on when something is due, and on the run's state.
What is found is printed as a program, after it was made small; the search goes on. The counts come last.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .case import Case
    from .reference import Reference

BATCH = 100
"""Cases between two lines of progress; each batch has a seed of its own, so it can be searched again by itself."""

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


@dataclass(frozen=True)
class Searched:
    """What came of a search.

    Attributes:
        cases: how many agree.
        found: what doesn't.
    """

    seed: int
    cases: int
    found: Found | None


def search(reference: Reference, cases: int, seed: int, shrink: bool = True) -> Searched:
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
    agreed = 0

    def agree(case: Case) -> None:
        nonlocal agreed
        try:
            check(case, reference)
        except Exception as error:
            found[:] = [Found(case, error)]
            raise
        agreed += not found

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
    return Searched(seed, agreed, found[0] if found else None)


def replay(case: Case) -> None:
    """Play one case and print how the two sides differ, or that they agree."""
    from .comparison import check

    reference = _open_reference()
    print(f"the two sides agree over {check(case, reference)} steps")
    reference.close()


def _open_reference() -> Reference:
    """Stock Airflow in a process, and our engine's imports in this one."""
    home = tempfile.mkdtemp(prefix="temporal-airflow-property-")
    os.environ |= {"AIRFLOW_HOME": home, "_AIRFLOW__AS_LIBRARY": "1", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    from temporal_airflow.engine.airflow_library import import_scheduling_code

    import_scheduling_code()
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    from .reference import Reference

    return Reference(Path(tempfile.mkdtemp(prefix="temporal-airflow-stock-")))


_reference: Reference
"""Of a process of a search."""


def _begin() -> None:
    """Let a process of a search have its own stock Airflow, which ends with it."""
    global _reference  # noqa: PLW0603  # a pool's initializer has no other way to hand something on
    _reference = _open_reference()


def _search(seed: int, cases: int) -> tuple[int, int, str | None]:
    """Search a batch; a case is told as text: it may not be picklable, which is not what is looked for."""
    searched = search(_reference, cases, seed)
    return seed, searched.cases, None if searched.found is None else str(searched.found)


def _batches(cases: int, seed: int, skip: int) -> Iterator[tuple[int, int]]:
    """Seed and size of each batch."""
    for done in range(skip - skip % BATCH, cases, BATCH):
        yield seed + done, min(BATCH, cases - done)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="search", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000))
    parser.add_argument("--skip", type=int, default=0, help="go on after so many cases of this seed")
    parser.add_argument("--processes", type=int, default=1, help="each with a stock Airflow of its own")
    options = parser.parse_args()
    begin, agreed, different = time.monotonic(), 0, 0
    print(f"seed {options.seed}", flush=True)
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn"), _begin) as pool:
        batches = [pool.submit(_search, *batch) for batch in _batches(options.cases, options.seed, options.skip)]
        for batch in as_completed(batches):
            seed, cases, found = batch.result()
            agreed += cases
            if found is not None:
                different += 1
                print(f"batch seed {seed}\n{found}", flush=True)
            print(f"{agreed} of {options.cases} agree, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    print(f"seed {options.seed}: {agreed} cases agree, {different} differ, {time.monotonic() - begin:.0f} s")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
