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
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from temporal_airflow.engine import support
from temporal_airflow.engine.airflow_library import airflow_version
from temporal_airflow.exceptions import DagFileError, TemporalAirflowError, UnsupportedFeatureError
from temporal_airflow.models import (
    CONTINUE_FROM_EVENTS,
    TASKS_IN_BATCH,
    TASKS_IN_BATCHES_FROM,
    TASKS_IN_SERIES,
    BundleReference,
    DagDefinition,
    DagDescription,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    RunLimits,
)
from temporal_airflow.near_names import did_you_mean
from temporal_airflow.tasks import dag_deadlines, file_assets, run_listeners, slim_dag
from temporal_airflow.tasks.masking import masked
from temporal_airflow.tasks.run_identity import identify_run
from temporal_airflow.tasks.starting_triggers import starting_triggers
from temporal_airflow.tasks.task_mutations import mutated_task_instances

if TYPE_CHECKING:
    from airflow.dag_processing.bundles.base import BaseDagBundle
    from airflow.sdk import DAG
    from airflow.serialization.definitions.dag import SerializedDAG

T = TypeVar("T")

MAX_COMPRESSED_DAG = 1_400_000
"""Bytes; base64 of it must fit into one Temporal payload of 2 MB beside the rest of the input."""


def load(request: LoadDagInput) -> LoadedDag | LoadFailure:
    """Load a DAG and validate the run that is asked for; a user's mistake comes back as a value."""
    return _or_failure(lambda: _load(request), request)


def describe(dag_id: str) -> DagDescription | LoadFailure:
    """Find a DAG and say what it is; that there is none comes back as a value."""
    request = LoadDagInput(dag_id=dag_id, now=datetime.now(UTC))
    return _or_failure(lambda: _description(*_find(request)[:2]), request)


def _or_failure(loading: Callable[[], T], request: LoadDagInput) -> T | LoadFailure:
    try:
        return loading()
    except TemporalAirflowError as error:
        return LoadFailure(kind=type(error).__name__, message=masked(str(error)))
    except Exception as error:  # noqa: BLE001  # Airflow's serialization and user code (timetables, weight rules) raise anything
        place = request.path or f"DAG {request.dag_id!r}"
        message = f"{place} can't be prepared for a run: {type(error).__name__}: {error}{_where(error)}"
        return LoadFailure(kind=DagFileError.__name__, message=masked(message))


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
    bundle, dag, others = _find(request)
    problems = support.problems(dag)
    if problems:
        raise UnsupportedFeatureError("\n".join(problems))
    serialized = DagSerialization.to_dict(dag)
    serialized_dag = DagSerialization.from_dict(serialized)
    run = identify_run(serialized_dag, request)
    definition = DagDefinition(
        dag_id=dag.dag_id,
        bundle=_reference(bundle, dag),
        compressed_dag=_compress(slim_dag.reduce_to_structure(serialized, serialized_dag), dag.dag_id),
        task_count=_count_task_instances(serialized_dag),
        max_active_runs=dag.max_active_runs,
        warnings=tuple(support.warnings(dag)),
        starting_triggers=starting_triggers(dag, serialized_dag),
        assets=file_assets.of_file(dag, others, bundle.name),
        pools=_pools(dag),
        tasks_limited=_tasks_limited(dag),
    )
    deadlines = dag_deadlines.alerts(dag)
    return LoadedDag(
        definition=definition,
        run=run,
        limits=limits,
        airflow_version=version,
        deadlines=deadlines,
        mutated=mutated_task_instances(serialized_dag, run, limits),
        listened_states=run_listeners.listened_states(),
    )


def _pools(dag: DAG) -> dict[str, int]:
    """The pools that tasks name, each with the most slots that one of them needs."""
    pools: dict[str, int] = {}
    for task in dag.tasks:
        name, slots = support.argument(task, "pool", "default_pool"), support.argument(task, "pool_slots", 1)
        pools[name] = max(slots, pools.get(name, 0))
    return pools


def _tasks_limited(dag: DAG) -> dict[str, int]:
    """``max_active_tis_per_dag`` of the tasks that have it."""
    limits = {task.task_id: support.argument(task, "max_active_tis_per_dag") for task in dag.tasks}
    return {task_id: limit for task_id, limit in limits.items() if limit is not None}


def _reference(bundle: BaseDagBundle, dag: DAG) -> BundleReference:
    from airflow.dag_processing.bundles.base import unpack_bundle_version

    version, _ = unpack_bundle_version(bundle.get_current_version(), bundle)
    return BundleReference(
        name=bundle.name,
        version=None if dag.disable_bundle_versioning else version,
        relative_fileloc=str(Path(dag.fileloc).relative_to(bundle.path)),
    )


def _description(bundle: BaseDagBundle, dag: DAG) -> DagDescription:
    return DagDescription(
        dag_id=dag.dag_id,
        bundle=_reference(bundle, dag),
        owners=dag.owner,
        tags=tuple(sorted(dag.tags)),
        task_groups={
            group_id: tuple(task.task_id for task in group.iter_tasks())
            for group_id, group in dag.task_group.get_task_group_dict().items()
            if group_id is not None
        },
    )


def _limits() -> RunLimits:
    from airflow.configuration import conf

    from temporal_airflow.settings import load_settings

    settings = load_settings()
    return RunLimits(
        continue_from_events=CONTINUE_FROM_EVENTS,
        batches_from=TASKS_IN_BATCHES_FROM,
        batch_size=TASKS_IN_BATCH,
        series_size=TASKS_IN_SERIES,
        heartbeat_timeout=settings.heartbeat_timeout,
        max_lost_attempts=settings.max_lost_attempts,
        max_map_length=conf.getint("core", "max_map_length", fallback=1024),
        clear_state_on_success=conf.getboolean("state_store", "clear_on_success"),
        check_steps=settings.check_steps,
        parallelism=settings.parallelism,
        task_queued_timeout=settings.task_queued_timeout,
        num_stuck_in_queued_retries=conf.getint("scheduler", "num_stuck_in_queued_retries", fallback=2),
    )


def _find(request: LoadDagInput) -> tuple[BaseDagBundle, DAG, Iterable[DAG]]:
    """The DAG asked for, the bundle its file is in, and the DAGs that were found with it."""
    if request.path is not None:
        path = checked_file(Path(request.path))
        for bundle in _bundles():
            if path.is_relative_to(bundle.path.resolve()):
                dags = _parse(path, bundle, strictly=True)
                return bundle, _choose(dags, request.dag_id, str(path)), dags.values()
        raise DagFileError(
            f"{path} is in no DAG bundle of this worker. Put it into the DAGs folder, or use --dags-folder."
        )
    known: dict[str, DAG] = {}
    for bundle in _bundles():
        for path in _files_that_name(request.dag_id or "", bundle):
            dags = _parse(path, bundle)
            if request.dag_id in dags:
                return bundle, dags[request.dag_id], dags.values()
    for bundle in _bundles():
        dags = _parse(bundle.path, bundle)
        if request.dag_id in dags:
            return bundle, dags[request.dag_id], dags.values()
        known |= dags
    return bundle, _choose(known, request.dag_id, "the DAG bundles of the worker"), known.values()


def _bundles() -> Iterator[BaseDagBundle]:
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    for bundle in DagBundlesManager().get_all_dag_bundles():
        bundle.initialize()
        yield bundle


def _files_that_name(dag_id: str, bundle: BaseDagBundle) -> Iterator[Path]:
    """Files in which a DAG's id stands: reading one of them mostly spares reading the whole folder."""
    from airflow.utils.file import list_py_file_paths

    for name in list_py_file_paths(bundle.path, safe_mode=True):
        path = Path(name)
        if path.suffix == ".py" and dag_id.encode() in path.read_bytes():
            yield path


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


def _parse(path: Path, bundle: BaseDagBundle, *, strictly: bool = False) -> dict[str, DAG]:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(
        dag_folder=path, safe_mode=not strictly, load_op_links=False, bundle_path=bundle.path, bundle_name=bundle.name
    )
    errors = list(bag.import_errors.items())
    if errors and strictly:
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
        raise DagFileError(f"No DAG {dag_id!r} in {place}{did_you_mean(dag_id, dags)}; there are: {names}.")
    return dags[dag_id]


def _count_task_instances(dag: SerializedDAG) -> int:
    from airflow.exceptions import NotMapped
    from airflow.models.expandinput import NotFullyPopulated

    count = 0
    for task in dag.tasks:
        try:
            count += max(1, task.get_parse_time_mapped_ti_count())
        except (NotMapped, NotFullyPopulated):
            count += 1
    return count


def _compress(serialized: dict[str, Any], dag_id: str) -> bytes:
    compressed = zlib.compress(json.dumps(serialized).encode())
    if len(compressed) > MAX_COMPRESSED_DAG:
        raise UnsupportedFeatureError(
            f"DAG {dag_id!r} is too large: {len(compressed):,} bytes compressed, the limit is {MAX_COMPRESSED_DAG:,}. "
            "Split the DAG."
        )
    return compressed
