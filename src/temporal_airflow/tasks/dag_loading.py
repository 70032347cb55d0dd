"""Loads a DAG file and settles everything that only user code can say, in a process of its own.

What comes out (:class:`LoadedDag`) is all that a workflow ever learns of the DAG. Custom weight rules and timetables
are asked here and replaced by their answers; arguments, templates, documentation and params stay behind. This module
runs user code: it is called only in processes forked from the template.
"""

from __future__ import annotations

import json
import sys
import traceback
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporal_airflow.engine import support
from temporal_airflow.engine.airflow_library import airflow_version
from temporal_airflow.exceptions import DagFileError, InputError, TemporalAirflowError, UnsupportedFeatureError
from temporal_airflow.models import (
    BundleReference,
    DagDefinition,
    DagRunIdentity,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    RunLimits,
)
from temporal_airflow.tasks import slim_dag

if TYPE_CHECKING:
    from airflow.dag_processing.bundles.base import BaseDagBundle
    from airflow.sdk import DAG
    from airflow.serialization.definitions.dag import SerializedDAG

MAX_COMPRESSED_DAG = 1_400_000
"""Bytes; base64 of it must fit into one Temporal payload of 2 MB beside the rest of the input."""

MAX_CONF = 128 * 1024
"""Bytes of JSON; the conf travels with the DAG, and again with each task: 16 started at once fit into one message."""

MAX_RUN_ID = 248
"""Characters; Airflow allows 250, but ``run_id=...`` is the name of a folder of logs, and 255 is the limit of those."""


def load(request: LoadDagInput) -> LoadedDag | LoadFailure:
    """Load a DAG and validate the run that is asked for; a user's mistake comes back as a value."""
    try:
        return _load(request)
    except TemporalAirflowError as error:
        return LoadFailure(kind=type(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001  # Airflow's serialization and user code (timetables, weight rules) raise anything
        place = request.path or f"DAG {request.dag_id!r}"
        return LoadFailure(
            kind=DagFileError.__name__,
            message=f"{place} can't be prepared for a run: {type(error).__name__}: {error}{_where(error)}",
        )


def _where(error: Exception) -> str:
    """The last line of a DAG file, plugin or other user code that an error came through; empty if there is none."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((sys.prefix, sys.base_prefix, "<", str(Path(__file__).parent.parent)))
    ]
    return f'\n  File "{frames[-1].filename}", line {frames[-1].lineno}, in {frames[-1].name}' if frames else ""


def _load(request: LoadDagInput) -> LoadedDag:
    from airflow.serialization.serialized_objects import DagSerialization

    version = airflow_version()
    limits = _limits()
    bundle, dag = _find(request)
    problems = support.problems(dag)
    if problems:
        raise UnsupportedFeatureError("\n".join(problems))
    serialized = DagSerialization.to_dict(dag)
    serialized_dag = DagSerialization.from_dict(serialized)
    run = _identify_run(serialized_dag, request)
    definition = DagDefinition(
        dag_id=dag.dag_id,
        bundle=BundleReference(
            name=bundle.name,
            version=None if serialized_dag.disable_bundle_versioning else bundle.get_current_version(),
            relative_fileloc=str(Path(dag.fileloc).relative_to(bundle.path)),
        ),
        compressed_dag=_compress(slim_dag.reduce_to_structure(serialized, serialized_dag), dag.dag_id),
        task_count=_count_task_instances(serialized_dag, limits),
        max_active_runs=dag.max_active_runs,
        warnings=tuple(support.warnings(dag)),
    )
    return LoadedDag(definition=definition, run=run, limits=limits, airflow_version=version)


def _limits() -> RunLimits:
    from airflow.configuration import conf

    from temporal_airflow.settings import load_settings

    settings = load_settings()
    return RunLimits(
        heartbeat_timeout=settings.heartbeat_timeout,
        max_lost_attempts=settings.max_lost_attempts,
        max_map_length=conf.getint("core", "max_map_length", fallback=1024),
    )


def _find(request: LoadDagInput) -> tuple[BaseDagBundle, DAG]:
    """The DAG asked for and the bundle its file is in."""
    if request.path is not None:
        path = checked_file(Path(request.path))
        for bundle in _bundles():
            if path.is_relative_to(bundle.path.resolve()):
                return bundle, _choose(_parse(path, bundle), request.dag_id, str(path))
        raise DagFileError(
            f"{path} is in no DAG bundle of this worker. Put it into the DAGs folder, or use --dags-folder."
        )
    known: dict[str, DAG] = {}
    for bundle in _bundles():
        dags = _parse(bundle.path, bundle)
        if request.dag_id in dags:
            return bundle, dags[request.dag_id]
        known |= dags
    return bundle, _choose(known, request.dag_id, "the DAG bundles of the worker")


def _bundles() -> Iterator[BaseDagBundle]:
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    for bundle in DagBundlesManager().get_all_dag_bundles():
        bundle.initialize()
        yield bundle


def checked_file(path: Path) -> Path:
    """The absolute path of what can be a DAG file.

    Raises:
        DagFileError: saying why it can't.
    """
    if not path.exists():
        raise DagFileError(f"DAG file {path} doesn't exist.")
    if path.is_dir():
        raise DagFileError(f"{path} is a folder; name the DAG file in it.")
    if path.suffix not in {".py", ".zip"}:
        raise DagFileError(f"{path} is not a Python file: its name must end in .py (or .zip for packaged DAGs).")
    return path.resolve()


def _parse(path: Path, bundle: BaseDagBundle) -> dict[str, DAG]:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(
        dag_folder=path, safe_mode=path.is_dir(), load_op_links=False, bundle_path=bundle.path, bundle_name=bundle.name
    )
    errors = list(bag.import_errors.items())
    if errors and path.is_file():
        raise DagFileError(f"{path} can't be imported:\n{_shorten(errors[0][1], path)}")
    return dict(bag.dags)


def _shorten(error: str, path: Path) -> str:
    """A traceback from where it enters the user's file; a message without one stays as it is."""
    lines = error.rstrip().splitlines()
    own = [number for number, line in enumerate(lines) if f'File "{path}"' in line]
    return "\n".join(lines[own[0] :] if own else lines[-1:])


def _choose(dags: Mapping[str, DAG], dag_id: str | None, place: str) -> DAG:
    names = ", ".join(sorted(dags))
    if not dags:
        raise DagFileError(f"No DAG found in {place}.")
    if dag_id is None:
        if len(dags) > 1:
            raise DagFileError(f"{place} holds several DAGs: {names}. Choose one with --dag-id.")
        return next(iter(dags.values()))
    if dag_id not in dags:
        near = get_close_matches(dag_id, dags, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DagFileError(f"No DAG {dag_id!r} in {place}; it has: {names}.{hint}")
    return dags[dag_id]


def _identify_run(dag: SerializedDAG, request: LoadDagInput) -> DagRunIdentity:
    """The run as Airflow's trigger API would make it (``TriggerDAGRunPostBody.validate_context``)."""
    from airflow._shared.timezones.timezone import coerce_datetime
    from airflow.sdk.exceptions import ParamValidationError
    from airflow.utils.types import DagRunType

    if dag.allowed_run_types is not None and DagRunType.MANUAL not in dag.allowed_run_types:
        raise InputError(f"DAG {dag.dag_id!r} does not allow manual runs (allowed_run_types).")
    logical_date = coerce_datetime(request.logical_date or request.now)
    run_after = coerce_datetime(request.now)
    interval = dag.timetable.infer_manual_data_interval(run_after=logical_date)
    run_id = request.run_id
    if run_id is None:
        run_id = dag.timetable.generate_run_id(run_type=DagRunType.MANUAL, run_after=run_after, data_interval=interval)
    try:
        dag.params.deep_merge(request.conf).validate()
    except ParamValidationError as error:
        raise InputError(f"The conf doesn't fit the params of DAG {dag.dag_id!r}: {error}") from error
    _check_run_id(run_id)
    _check_conf_size(request.conf)
    return DagRunIdentity(
        dag_id=dag.dag_id,
        run_id=run_id,
        run_type=DagRunType.MANUAL,
        logical_date=logical_date.astimezone(UTC),
        data_interval_start=interval.start.astimezone(UTC),
        data_interval_end=interval.end.astimezone(UTC),
        run_after=run_after.astimezone(UTC),
        conf=request.conf,
    )


def _check_run_id(run_id: str) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunType

    if not run_id:
        raise InputError("The run id must not be empty; leave it out to have one made.")
    if ".." in run_id or "/" in run_id:
        raise InputError(f"The run id {run_id!r} must not contain '..' or '/'.")
    reserved = DagRunType.from_run_id(run_id)
    if reserved != DagRunType.MANUAL:
        raise InputError(f"The run id {run_id!r} is reserved for {reserved.value} runs; choose another.")
    if len(run_id) > MAX_RUN_ID:
        raise InputError(f"The run id {run_id[:20]}... has {len(run_id)} characters, the limit is {MAX_RUN_ID}.")
    try:
        DagRun(run_id=run_id)
    except ValueError as error:
        raise InputError(
            f"The run id {run_id!r} can't be used: {error}. Choose one of letters, digits and the characters _.~:+-"
        ) from error


def _check_conf_size(conf: dict[str, Any]) -> None:
    size = len(json.dumps(conf))
    if size > MAX_CONF:
        raise InputError(
            f"The conf is too large: {size:,} bytes of JSON, the limit is {MAX_CONF:,}. "
            "Put the data into a file and name the file in the conf."
        )


def _count_task_instances(dag: SerializedDAG, limits: RunLimits) -> int:
    from airflow.exceptions import NotMapped
    from airflow.models.expandinput import NotFullyPopulated

    count = 0
    for task in dag.tasks:
        try:
            count += max(1, task.get_parse_time_mapped_ti_count())
        except (NotMapped, NotFullyPopulated):
            count += 1
    if count > limits.max_task_instances:
        raise UnsupportedFeatureError(
            f"DAG {dag.dag_id!r} has {count} task instances; this version runs at most {limits.max_task_instances} in "
            "one run. Split the DAG, or map over fewer values."
        )
    return count


def _compress(serialized: dict[str, Any], dag_id: str) -> bytes:
    compressed = zlib.compress(json.dumps(serialized).encode())
    if len(compressed) > MAX_COMPRESSED_DAG:
        raise UnsupportedFeatureError(
            f"DAG {dag_id!r} is too large: {len(compressed):,} bytes compressed, the limit is {MAX_COMPRESSED_DAG:,}. "
            "Split the DAG."
        )
    return compressed
