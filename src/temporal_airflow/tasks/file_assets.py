"""Which assets the DAGs of a file refer to, as Airflow's DAG processor finds them.

It runs where DAG files are parsed, and must not know what becomes of the assets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from temporal_airflow.exceptions import InputError
from temporal_airflow.models import AssetRecord, FileAssets

if TYPE_CHECKING:
    from airflow.sdk import DAG

MAX_EXTRA = 16 * 1024
"""Bytes of JSON."""


def of_file(dag: DAG, others: Iterable[DAG], bundle_name: str) -> FileAssets:
    """The assets of the file that a DAG is in: those that schedule its DAGs, those that its tasks take in or put out.

    Args:
        dag: of the file.
        others: DAGs that were parsed with it, from this file and others.
        bundle_name: of the DAG bundle that the file is in.

    Raises:
        InputError: if an asset's extra is too large; it travels with every event.
    """
    found: dict[tuple[str, str], AssetRecord] = {}
    for other in sorted(others, key=lambda other: other.dag_id):  # of two rivals the first stays: always the same
        if other.fileloc == dag.fileloc and _has_assets(other):
            found |= {(asset.name, asset.uri): asset for asset in _assets(other)}
    _check_extras(found.values(), dag.fileloc)
    return FileAssets(file=f"{bundle_name}:{dag.relative_fileloc}", assets=tuple(found.values()))


def _check_extras(assets: Iterable[AssetRecord], path: str) -> None:
    for asset in assets:
        size = len(asset.model_dump_json(include={"extra"}))
        if size > MAX_EXTRA:
            raise InputError(
                f"The extra of asset {asset.name!r} in {path} is too large: {size:,} bytes of JSON, the limit is "
                f"{MAX_EXTRA:,}. Keep large data elsewhere and name the place in the extra."
            )


def _has_assets(dag: DAG) -> bool:
    return bool(getattr(dag.timetable, "asset_condition", None)) or any(map(_has_ports, dag.tasks))


def _has_ports(task: Any) -> bool:
    arguments = task.partial_kwargs if task.is_mapped else vars(task)
    return bool(arguments.get("inlets") or arguments.get("outlets"))


def _assets(dag: DAG) -> Iterable[AssetRecord]:
    from airflow.dag_processing.collection import AssetModelOperation
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    try:
        collected = AssetModelOperation.collect({dag.dag_id: LazyDeserializedDAG.from_dag(dag)})
    except Exception:  # noqa: BLE001  # user code; a DAG that can't be serialized is an import error and refers to nothing
        return
    for asset in collected.assets.values():
        yield AssetRecord(name=asset.name, uri=asset.uri, group=asset.group, extra=dict(asset.extra))
