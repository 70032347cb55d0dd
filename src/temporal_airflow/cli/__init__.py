"""The command line: thin commands over ``client`` and ``in_place``. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

HELP = {"-h", "--help"}


def main() -> None:
    """Entry point of ``temporal-airflow``: as a library, Airflow touches no database and starts twice as fast.

    A run needs Airflow in two processes; the other one begins to import before this one does.
    """
    from temporal_airflow.engine.airflow_library import use_as_library

    if sys.argv[1:2] == ["run"] and not HELP & set(sys.argv):
        from temporal_airflow.tasks import guardian_start

        guardian_start.start_ahead()
    use_as_library()
    try:
        from temporal_airflow.cli.app import app
    except Exception as error:
        if not _is_of_airflow(error):
            raise
        _leave_without_airflow(error)
    app()


def run_and_leave() -> NoReturn:
    """What the installed command runs: :func:`main`, then an end without taking the interpreter apart.

    That takes a second with everything Airflow brings, and the operating system does it anyway.
    """
    code: object = 0
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _is_of_airflow(error: Exception) -> bool:
    """Whether Airflow raised it while it was imported, which is when it reads and checks its configuration."""
    return type(error).__module__.startswith("airflow.") or isinstance(error, ImportError | OSError)


def _leave_without_airflow(error: Exception) -> None:
    from temporal_airflow.exceptions import ExitCode

    sys.stderr.write(
        f"Error: Airflow can't be imported: {error}\n"
        "Correct airflow.cfg or the AIRFLOW__* variable, or install it with: pip install 'apache-airflow>=3.3.2,<3.4'\n"
    )
    sys.exit(ExitCode.BAD_INPUT)
