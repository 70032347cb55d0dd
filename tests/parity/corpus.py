"""Which DAGs are compared, and why the others are not.

The corpus is every DAG that Airflow itself finds in its example folders, in those of the installed providers, and in
``tests/parity/dags``. What is left out stands in :data:`EXCLUDED`. Some files are run on both sides where no other is
known: :data:`ALONE`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .environment import OWN_DAGS, RECORDS, SECOND_BUNDLE

INDEX = RECORDS / "_corpus.json"
"""Every DAG of the corpus with its file, as Airflow found them when they were recorded."""

OWN = "own"
SECOND = "second"
EXAMPLE_PACKAGES = (
    "airflow.example_dags",
    "airflow.providers.standard.example_dags",
    "airflow.providers.common.sql.example_dags",
)

EXCLUDED: dict[str, str] = {
    "example_analytics": "S3, GCS, Azure Blob Storage and an Iceberg catalog",
    "example_retry_policy": "the HTTP API of api.example.com",
    "tutorial_objectstorage": "the HTTP API of air-quality-api.open-meteo.com, and S3",
}
"""DAGs that stock Airflow can't run here, by what they need; the record of each holds what its tasks said."""

LIBRARIES: dict[str, tuple[str, ...]] = {
    "example_analytics.py": (
        "apache-airflow-providers-amazon==9.39.0",
        "boto3==1.44.8",
        "botocore==1.44.8",
        "datafusion==51.0.0",
        "jmespath==1.1.0",
        "s3transfer==0.19.3",
    ),
}
"""What a file needs and has when it is recorded: a DAG that can't be run fails for want of a service."""

_RIVALS = "its asset and that of another example claim the same URI: which of them were active would be chance"

ALONE: dict[str, str] = {
    "example_inlet_event_extra.py": _RIVALS,
    "example_outlet_event_extra.py": _RIVALS,
    "example_sensors.py": "removes a file and creates it 3 s later, side by side: the removal must not wait for a slot",
}
"""Files that are run, on both sides, by an Airflow that knows and does nothing else; why.

In the last hour of a UTC day ``example_sensors`` differs: "in an hour" is a time of day there, so one that has passed.
"""


PRECEDING: dict[str, str] = {"example_external_task_marker_child": "example_external_task_marker_parent"}
"""Whose run has to be over before that of a DAG begins, which looks for it: else how often it looks would be chance."""


@dataclass(frozen=True, order=True)
class CorpusDag:
    """A DAG of the corpus and the file it is in."""

    dag_id: str
    path: Path

    @property
    def alone(self) -> bool:
        return self.path.name in ALONE or self.dag_id in EXCLUDED

    @property
    def record_path(self) -> Path:
        return RECORDS / f"{self.dag_id}.json"

    def record(self) -> dict[str, Any] | None:
        """What Airflow made of it; None if it wasn't recorded."""
        return json.loads(self.record_path.read_text()) if self.record_path.exists() else None


def of_corpus(known: Mapping[str, Path]) -> list[CorpusDag]:
    """The DAGs of the corpus among all that an Airflow knows."""
    folders = [folder for _, folder in _folders()]
    return sorted(
        CorpusDag(dag_id, _file(path))
        for dag_id, path in known.items()
        if any(path.is_relative_to(folder) for folder in folders)
    )


def companies(dags: Collection[CorpusDag]) -> list[list[CorpusDag]]:
    """Those that one Airflow runs: most of them, then each file that is run alone."""
    files = sorted({dag.path for dag in dags if dag.alone})
    found = [[dag for dag in dags if not dag.alone], *([dag for dag in dags if dag.path == file] for file in files)]
    return [company for company in found if company]


def with_preceding(dag_ids: Iterable[str]) -> list[str]:
    """These DAGs, and those that have to run before them."""
    return list(dict.fromkeys(each for dag_id in dag_ids for each in (PRECEDING.get(dag_id, dag_id), dag_id)))


def read_index() -> dict[str, CorpusDag]:
    """The corpus as it was recorded, by DAG id."""
    folders = dict(_folders())
    index = {}
    for dag_id, file in json.loads(INDEX.read_text()).items():
        package, _, relative = file.partition(":")
        if package in folders:
            index[dag_id] = CorpusDag(dag_id, _file(folders[package] / relative))
    return index


def write_index(dags: list[CorpusDag]) -> None:
    index = {dag.dag_id: _portable(dag.path) for dag in dags}
    INDEX.write_text(json.dumps(index, indent=1) + "\n")


def _file(path: Path) -> Path:
    """The file that a path leads to, or into: a packaged DAG's is in its archive."""
    return next((each for each in path.parents if each.is_file()), path)


def _portable(path: Path) -> str:
    return next(f"{name}:{path.relative_to(folder)}" for name, folder in _folders() if path.is_relative_to(folder))


def _folders() -> Iterator[tuple[str, Path]]:
    """Our own folders, and Airflow's folders of examples as far as installed."""
    yield OWN, OWN_DAGS
    yield SECOND, SECOND_BUNDLE
    for package in EXAMPLE_PACKAGES:
        spec = find_spec(package)
        if spec and spec.submodule_search_locations:
            yield package, Path(next(iter(spec.submodule_search_locations)))
