"""Records what stock Airflow makes of DAGs: ``uv run python -m tests.parity.record [DAG_ID...]``.

Writes ``records/DAG_ID.json`` for each DAG of the corpus (or for those named) and ``records/_corpus.json``, the list of
all. A DAG that Airflow does not end in time is reported and gets no record.
"""

from __future__ import annotations

import argparse
import json
import platform
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
from .environment import RECORDS
from .oracle import Oracle, OracleError
from .outcome import normalised, normaliser

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
    with recording() as airflow:
        dags = find_dags(airflow, wanted)
        outcomes = run(airflow, dags)
    for dag_id, outcome in outcomes.items():
        write(dag_id, outcome)
    print(f"{len(outcomes)} of {len(dags)} recorded in {time.monotonic() - started:.0f} s")
    sys.exit(0 if len(outcomes) == len(dags) else 1)


@contextmanager
def recording() -> Iterator[Oracle]:
    """An Airflow that knows the whole corpus."""
    with tempfile.TemporaryDirectory(prefix="parity-airflow-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        scratch = home / "scratch"
        scratch.mkdir()
        with oracle.open_oracle(home, scratch) as airflow:
            oracle.await_parsed(airflow)
            yield airflow


def find_dags(airflow: Oracle, wanted: Sequence[str] = ()) -> list[CorpusDag]:
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
    return [dag for dag in dags if dag.dag_id in wanted or (not wanted and dag.dag_id not in corpus.EXCLUDED)]


def run(airflow: Oracle, dags: Sequence[CorpusDag]) -> dict[str, dict[str, Any]]:
    """Run DAGs, a few at once; normalised outcomes of those that ended."""
    waiting, deadlines, ended = list(reversed(dags)), dict[str, float](), list[str]()
    while waiting or deadlines:
        while len(deadlines) < AT_ONCE and (dag := _next(waiting, deadlines)):
            waiting.remove(dag)
            _start(airflow, dag, deadlines)
        airflow.answer_people()
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
    return {dag_id: normalised(airflow.outcome(dag_id), normalise) for dag_id in sorted(ended)}


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
