"""Records what stock Airflow makes of DAGs: ``uv run python -m tests.parity.record [DAG_ID...]``.

Writes ``records/DAG_ID.json`` for each DAG of the corpus (or for those named) and ``records/_corpus.json``, the list of
all. The record of a DAG that Airflow can't run here says what its tasks said. A DAG that Airflow doesn't end in time is
reported and gets no record.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import corpus, oracle
from .corpus import CorpusDag
from .environment import RECORDS, of_one_folder
from .oracle import Oracle, OracleError
from .outcome import normalised, normaliser
from .task_errors import task_errors

AT_ONCE = 5
"""Runs in progress: few, for the order of tasks to be Airflow's and not that of a machine out of breath."""

RUN_PATIENCE = 600.0
"""Seconds that a run may take."""

PACKAGES = (
    "apache-airflow-core",
    "apache-airflow-task-sdk",
    "apache-airflow-providers-standard",
    "apache-airflow-providers-common-sql",
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="record", description=__doc__)
    parser.add_argument("dag_ids", nargs="*", metavar="DAG_ID", help="default: the whole corpus")
    wanted = corpus.with_preceding(parser.parse_args(arguments).dag_ids)
    started = time.monotonic()
    outcomes = record(wanted)
    recorded = {dag.dag_id: outcome for dag, outcome in outcomes.items() if outcome}
    for dag_id, outcome in recorded.items():
        write(dag_id, outcome)
    print(f"{len(recorded)} of {len(outcomes)} recorded in {time.monotonic() - started:.0f} s")
    sys.exit(0 if len(recorded) == len(outcomes) else 1)


def record(wanted: Sequence[str]) -> dict[CorpusDag, dict[str, Any] | None]:
    """What Airflow makes of these DAGs, or of the whole corpus; nothing of those that it doesn't end."""
    outcomes: dict[str, dict[str, Any]] = {}
    dags = [dag for dag_id, dag in corpus.read_index().items() if dag_id in wanted and dag.alone]
    if not wanted or len(dags) < len(wanted):
        with recording() as airflow:
            dags = find_dags(airflow, wanted)
            outcomes |= run(airflow, [dag for dag in dags if not dag.alone])
    for company in corpus.companies([dag for dag in dags if dag.alone]):
        with recording(company[0].path) as airflow:
            outcomes |= run(airflow, company)
    return {dag: outcomes.get(dag.dag_id) for dag in dags}


@contextmanager
def recording(file: Path | None = None) -> Iterator[Oracle]:
    """An Airflow that knows the whole corpus, or one file only."""
    with tempfile.TemporaryDirectory(prefix="parity-airflow-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        scratch, dags = home / "scratch", home / "dags"
        scratch.mkdir()
        if file:
            dags.mkdir()
            shutil.copy(file, dags)
        settings, packages = (of_one_folder(dags), corpus.LIBRARIES.get(file.name, ())) if file else ({}, ())
        with oracle.open_oracle(home, scratch, settings, packages) as airflow:
            oracle.await_parsed(airflow)
            yield airflow


def find_dags(airflow: Oracle, wanted: Sequence[str]) -> list[CorpusDag]:
    """The DAGs to run; rewrites the list of the corpus.

    Raises:
        OracleError: if a DAG file can't be imported, or a DAG isn't there.
    """
    if errors := airflow.import_errors():
        raise OracleError(f"import errors: {json.dumps(errors, indent=1)}")
    dags = corpus.of_corpus(airflow.known_dags())
    corpus.write_index(dags)
    if unknown := set(wanted) - {dag.dag_id for dag in dags}:
        raise OracleError(f"not in the corpus: {', '.join(sorted(unknown))}")
    return [dag for dag in dags if dag.dag_id in wanted or not wanted]


def run(airflow: Oracle, dags: Sequence[CorpusDag]) -> dict[str, dict[str, Any]]:
    """Run DAGs, a few at once; normalised outcomes of those that ended."""
    waiting, deadlines, ended = list(reversed(dags)), dict[str, float](), list[str]()
    while waiting or deadlines:
        while len(deadlines) < AT_ONCE and (dag := _next(waiting, deadlines)):
            waiting.remove(dag)
            _start(airflow, dag, deadlines)
        airflow.answer_people()
        airflow.hasten_retries(corpus.EXCLUDED.keys() & deadlines.keys())
        running = airflow.unfinished(deadlines)
        ended += set(deadlines) - running
        for dag_id in list(deadlines):
            if dag_id not in running:
                del deadlines[dag_id]
            elif time.monotonic() > deadlines[dag_id]:
                del deadlines[dag_id]
                airflow.abandon(dag_id)
                print(f"{dag_id}: did not end within {RUN_PATIENCE:.0f} s", file=sys.stderr)
        time.sleep(oracle.LOOK_INTERVAL)
    airflow.await_callbacks()
    normalise = normaliser(airflow.home, airflow.scratch)
    outcomes = {dag_id: normalised(airflow.outcome(dag_id), normalise) for dag_id in sorted(ended)}
    for dag_id in corpus.EXCLUDED.keys() & outcomes.keys():
        outcomes[dag_id]["errors"] = normalise(task_errors(airflow.home, dag_id))
    return outcomes


def _next(waiting: Sequence[CorpusDag], running: Collection[str]) -> CorpusDag | None:
    """The last of these DAGs whose run need not wait for that of another."""
    not_over = {dag.dag_id for dag in waiting} | set(running)
    free = (dag for dag in reversed(waiting) if corpus.PRECEDING.get(dag.dag_id) not in not_over)
    return next(free, None)


def _start(airflow: Oracle, dag: CorpusDag, deadlines: dict[str, float]) -> None:
    try:
        airflow.trigger(dag.dag_id, dag.path)
    except OracleError as error:
        print(error, file=sys.stderr)
    else:
        deadlines[dag.dag_id] = time.monotonic() + RUN_PATIENCE


def write(dag_id: str, outcome: dict[str, Any]) -> None:
    versions = {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
    RECORDS.mkdir(exist_ok=True)
    record = {"versions": versions, **outcome}
    (RECORDS / f"{dag_id}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
