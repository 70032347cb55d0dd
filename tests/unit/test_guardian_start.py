"""Guardians that are started ahead: used if they fit, gone if they don't or nobody needs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from temporal_airflow.tasks import guardian_start
from temporal_airflow.tasks.guardian_start import StartedGuardian, template_environment

GONE = 20.0  # seconds


@pytest.fixture
def ahead() -> Iterator[StartedGuardian]:
    guardian_start.start_ahead()
    [guardian] = guardian_start._ahead
    yield guardian
    guardian_start._ahead.clear()
    end(guardian)


def end(guardian: StartedGuardian) -> None:
    """What the end of this process would do."""
    guardian.lifeline.close()
    guardian.control.close()
    guardian.process.wait(GONE)
    assert guardian.process.stderr is not None
    guardian.process.stderr.close()


def test_one_that_was_started_ahead_is_used_for_an_environment_that_adds_to_ours(ahead: StartedGuardian) -> None:
    environ = template_environment({**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": "/somewhere"})
    assert guardian_start.started(environ) is ahead


def test_it_is_used_once(ahead: StartedGuardian) -> None:
    environ = template_environment(os.environ)
    assert guardian_start.started(environ) is ahead
    another = guardian_start.started(environ)
    assert another is not ahead
    end(another)


def test_one_whose_environment_has_too_much_is_ended(ahead: StartedGuardian) -> None:
    environ = template_environment({name: value for name, value in os.environ.items() if name != "PATH"})
    other = guardian_start.started(environ)
    assert ahead.process.wait(GONE) is not None
    end(other)


def test_the_libraries_that_are_imported_ahead_leave_airflow_alone() -> None:
    program = (
        "import importlib, sys\n"
        "from temporal_airflow.tasks import template\n"
        "for name in template.LIBRARIES: importlib.import_module(name)\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'airflow'])\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
