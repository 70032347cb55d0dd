"""Compares every DAG of the corpus: ``uv run python -m tests.parity.compare [--side-by-side] [--orders] [DAG_ID...]``.

Prints what differs, what is left out and why, and ``N of M identical, K excluded``; exit code 1 unless N + K = M. With
``--orders`` also what would differ had the attempts of a run ended in another order: such a DAG must be mended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import corpus, record
from .comparison import Difference, differences
from .corpus import CorpusDag

if TYPE_CHECKING:
    from .ends import Ends

AT_ONCE = 4


@dataclass
class Report:
    """What came of a comparison.

    Attributes:
        excluded: why, and what stock Airflow says, by DAG.
        errors: what our tasks said that differ.
        chances: what depends on the order of ends, by DAG.
    """

    identical: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    different: dict[str, list[Difference]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    chances: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def text(self) -> str:
        total = len(self.identical) + len(self.excluded) + len(self.different)
        lines = ["Differences:", *(f"  {each}" for found in self.different.values() for each in found)]
        lines += ["Errors of tasks that differ:", *(f"  {task}: {error}" for task, error in self.errors.items())]
        lines += ["Excluded:", *(f"  {dag_id}: {reason}" for dag_id, reason in sorted(self.excluded.items()))]
        lines += ["Left to chance:", *(f"  {dag_id}: {found}" for dag_id, found in sorted(self.chances.items()))]
        counts = f"{len(self.identical)} of {total} identical, {len(self.excluded)} excluded"
        return "\n".join([*lines, f"{counts}, {len(self.different)} different"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("dag_ids", nargs="*", metavar="DAG_ID", help="default: the whole corpus")
    parser.add_argument("--side-by-side", action="store_true", help="run stock Airflow first, ignore the records")
    parser.add_argument("--isolation", choices=["fork", "reuse"], default="fork", help="ours: the setting of that name")
    parser.add_argument("--orders", action="store_true", help="look for what depends on the order of ends, too")
    parser.add_argument("--json", type=Path, help="write the differences there, too")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    wanted = corpus.with_preceding(options.dag_ids)
    records = record.record(wanted) if options.side_by_side else _read_records(wanted)
    with tempfile.TemporaryDirectory(prefix="parity-ours-", ignore_cleanup_errors=True) as folder:
        _use_own_home(Path(folder))
        report, ends = asyncio.run(_compare(records, Path(folder), options.isolation))
        if options.orders:
            report.chances = _chances(ends)
    print(report.text())
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        found = [vars(each) for differing in report.different.values() for each in differing]
        options.json.write_text(json.dumps(found, indent=1))
    sys.exit(1 if report.different or report.chances else 0)


Records = dict[CorpusDag, dict[str, Any] | None]


def _read_records(dag_ids: Sequence[str]) -> Records:
    index = corpus.read_index()
    return {index[dag_id]: index[dag_id].record() for dag_id in dag_ids or index}


def _use_own_home(folder: Path) -> None:
    """Before anything imports Airflow: nothing of this machine's Airflow is read or changed."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "TEMPORAL_"))]:
        del os.environ[name]
    os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["_AIRFLOW__AS_LIBRARY"] = "1"
    os.environ["TEMPORAL_DEBUG"] = "1"  # the SDK's deadlock detector measures how busy this machine is


def _chances(ends: dict[str, Ends]) -> dict[str, dict[str, set[str]]]:
    from .orders import chances

    found = {dag_id: chances(of_dag) for dag_id, of_dag in sorted(ends.items())}
    return {dag_id: of_dag for dag_id, of_dag in found.items() if of_dag}


async def _compare(records: Records, home: Path, isolation: str) -> tuple[Report, dict[str, Ends]]:
    from temporal_airflow.connection import connect
    from temporal_airflow.settings import Settings

    from .ours import open_ours

    report = Report()
    ends: dict[str, Ends] = {}
    async with connect(Settings(data_folder=home / "data"), ephemeral=True, report=lambda _: None) as connection:
        for dag in [dag for dag in records if dag.dag_id in corpus.EXCLUDED]:
            _exclude(dag, records.pop(dag), report)
        for number, company in enumerate(corpus.companies(records)):
            scratch, task_queue = home / "scratch", f"parity-{number}"
            async with open_ours(connection.client, home, scratch, isolation, task_queue=task_queue) as ours:
                await _compare_company(ours, {dag: records[dag] for dag in company}, home, report)
            ends |= ours.ends
    return report, ends


async def _compare_company(ours: Any, records: Records, home: Path, report: Report) -> None:
    """Compare DAGs that one worker runs."""
    from .outcome import normaliser

    normalise, at_once = normaliser(home, ours.scratch), asyncio.Semaphore(AT_ONCE)
    over = {dag.dag_id: asyncio.Event() for dag in records}

    async def one(dag: CorpusDag, expected: dict[str, Any] | None) -> None:
        if preceding := corpus.PRECEDING.get(dag.dag_id):
            await over[preceding].wait()
        async with at_once:
            await _compare_one(ours, dag, expected, normalise, report)
        over[dag.dag_id].set()

    await asyncio.gather(*(one(dag, expected) for dag, expected in records.items()))


def _exclude(dag: CorpusDag, expected: dict[str, Any] | None, report: Report) -> None:
    """Only what stock Airflow can't run here is left out."""
    if expected and expected["state"] == "failed" and expected["errors"]:
        says = "; ".join(f"{task}: {error}" for task, error in sorted(expected["errors"].items()))
        report.excluded[dag.dag_id] = f"needs {corpus.EXCLUDED[dag.dag_id]}; under stock Airflow {says}"
    else:
        standing = expected and expected["state"]
        report.different[dag.dag_id] = [Difference(dag.dag_id, None, "run that fails", standing, "left out")]


async def _compare_one(ours: Any, dag: CorpusDag, expected: Any, normalise: Any, report: Report) -> None:
    from temporal_airflow.exceptions import TemporalAirflowError

    from .outcome import normalised

    if expected is None:
        report.different[dag.dag_id] = [Difference(dag.dag_id, None, "run", "has no record of it", "not started")]
        return
    try:
        loaded = await ours.load(dag.dag_id, dag.path)
    except TemporalAirflowError as error:
        report.different[dag.dag_id] = [Difference(dag.dag_id, None, "loading", "loads", str(error))]
        return
    try:
        outcome = await asyncio.wait_for(ours.run(loaded), record.RUN_PATIENCE)
    except Exception as error:  # noqa: BLE001  # whatever went wrong with one DAG, the others are still compared
        report.different[dag.dag_id] = [Difference(dag.dag_id, None, "run", expected["state"], repr(error))]
        return
    found = differences(expected, normalised(outcome, normalise))
    if found:
        report.different[dag.dag_id] = found
        report.errors |= {
            f"{dag.dag_id}, {task}": error
            for task, error in ours.errors[dag.dag_id].items()
            if any(each.task == task for each in found)
        }
    else:
        report.identical.append(dag.dag_id)


if __name__ == "__main__":
    main()
