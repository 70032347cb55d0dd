"""Loads a DAG file in a process of its own: what the file or the configuration does to that process is bad input.

It must not know what loading means (``tasks.dag_loading`` does it there), nor what the DAG is wanted for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from temporal_airflow import exceptions
from temporal_airflow.exceptions import DagFileError, InputError, ProcessLostError, TemporalAirflowError
from temporal_airflow.models import DagDescription, LoadDagInput, LoadedDag, LoadFailure
from temporal_airflow.tasks.messages import Described, DescribeDag, Failed, LoadDag, Loaded
from temporal_airflow.tasks.slots import ProcessTemplate

T = TypeVar("T")

NOT_THE_USERS = (sys.prefix, sys.base_prefix, "<", str(Path(__file__).parent))
"""Where files of installed packages, of Python and of this package are; the rest is the user's."""


async def load_dag(template: ProcessTemplate, request: LoadDagInput) -> LoadedDag:
    """Load a DAG file in a process that ends with it.

    Raises:
        InputError: whatever is wrong with the configuration, the file, the DAG or the run asked for.
    """
    match await _ask(template, LoadDag(input=request), _asked_for(request)):
        case Loaded(outcome=outcome):
            return checked(outcome)
        case other:
            raise AssertionError(f"{type(other).__name__} in answer to LoadDag")


async def describe_dag(template: ProcessTemplate, dag_id: str) -> DagDescription:
    """Find a DAG in the DAG bundles, in a process that ends with it.

    Raises:
        InputError: if there is none, or it can't be read.
    """
    match await _ask(template, DescribeDag(dag_id=dag_id), f"DAG {dag_id!r}"):
        case Described(outcome=outcome):
            return checked(outcome)
        case other:
            raise AssertionError(f"{type(other).__name__} in answer to DescribeDag")


async def _ask(template: ProcessTemplate, request: LoadDag | DescribeDag, wanted: str) -> Loaded | Described:
    await started(template)
    slot = await template.fork_slot()
    try:
        await slot.send(request)
        match await slot.receive():
            case Loaded() | Described() as reply:
                return reply
            case Failed(error=error):
                raise DagFileError(f"{wanted} can't be loaded: {error}")
            case other:
                raise AssertionError(f"{type(other).__name__} in answer to {type(request).__name__}")
    except ProcessLostError as error:
        raise DagFileError(
            f"{wanted} ended the process that loaded it: {error} A DAG file must not end its process, e.g. by "
            "os._exit or by a crash in a C extension."
        ) from error
    finally:
        slot.kill()
        await slot.wait_closed()


def checked(outcome: T | LoadFailure) -> T:
    """What was loaded.

    Raises:
        TemporalAirflowError: the error that the parse process met, of its class.
    """
    if isinstance(outcome, LoadFailure):
        error_class: type[TemporalAirflowError] = getattr(exceptions, outcome.kind, InputError)
        raise error_class(outcome.message)
    return outcome


async def started(template: ProcessTemplate) -> None:
    """Wait until task processes can be forked.

    Raises:
        InputError: if Airflow can't start in them, with the user's own lines of the stack trace.
    """
    try:
        await template.ready()
    except ProcessLostError as error:
        raise InputError(
            "\n".join(_own_lines(str(error)))
            + "\nCorrect Airflow's configuration or airflow_local_settings.py; `temporal-airflow doctor` checks them."
        ) from error


def _asked_for(request: LoadDagInput) -> str:
    return request.path or f"DAG {request.dag_id!r}"


def _own_lines(words: str) -> Iterator[str]:
    """Of a message with a stack trace: the message, frames in the user's files, and the error."""
    first, *rest = words.splitlines()
    yield first
    own = False
    for line in rest:
        if line.startswith("  File "):
            own = not line.removeprefix('  File "').startswith(NOT_THE_USERS)
        elif not line.startswith("  "):
            own = not line.startswith("Traceback ")
        if own:
            yield line
