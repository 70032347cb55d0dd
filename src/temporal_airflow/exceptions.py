"""The one exception tree of the product.

Every error that a user can cause or meet is a :class:`TemporalAirflowError` whose message names the thing, the place
and the remedy, and whose ``exit_code`` is what the command line ends with. It must not know Airflow, Temporal or the
command line: each layer raises these, only the outermost one prints them.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends; the README lists them."""

    SUCCESS = 0
    RUN_FAILED = 1
    BAD_INPUT = 2
    NO_SERVER = 3
    INTERRUPTED = 130


class TemporalAirflowError(Exception):
    """Base of all errors this package raises on purpose; its message is written for the user."""

    exit_code = ExitCode.RUN_FAILED


class InputError(TemporalAirflowError):
    """The caller gave something that can't be used; nothing was started."""

    exit_code = ExitCode.BAD_INPUT


class DagFileError(InputError):
    """A DAG file is missing, isn't Python, fails to import, or doesn't hold the DAG asked for."""


class UnsupportedFeatureError(InputError):
    """A DAG uses something this version can't run; refused before anything starts."""


class SettingsError(InputError):
    """A setting can't be understood or contradicts another."""


class DagRunAlreadyExistsError(InputError):
    """A run with this id exists already, or its workflow id belongs to another run."""


class DagRunNotFoundError(InputError):
    """No run with this id is known to the server."""


class PoolNotFoundError(InputError):
    """No pool has this name."""


class StateRefusedError(InputError):
    """State that outlives runs can't take a value: there is no room for it."""


class VersionMismatchError(InputError):
    """The installed Airflow, engine epoch or ``temporal`` binary doesn't fit this package."""


class ServerError(TemporalAirflowError):
    """No Temporal server can be reached or started."""

    exit_code = ExitCode.NO_SERVER


class NoWorkerError(ServerError):
    """The server is there, but no worker that could answer."""


class LeftAtOnceError(TemporalAirflowError):
    """The user interrupted twice: what runs is left to the server."""

    exit_code = ExitCode.INTERRUPTED


class ProcessLostError(TemporalAirflowError):
    """A process that runs user code died or went away without an answer."""
