"""The task that the template rehearses: it runs, nothing of it stays, and nobody hears of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
    import importlib, json, logging, os, signal, sys
    from setproctitle import getproctitle
    from temporal_airflow.tasks import template

    for module in template.PRELOADED:
        importlib.import_module(module)
    from temporal_airflow.tasks import rehearsal

    def surroundings():
        return {
            "environment": dict(os.environ),
            "path": sys.path,
            "title": getproctitle(),
            "descriptors": {number: os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)},
            "streams": [id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
            "handlers": [str(handler) for handler in logging.root.handlers],
            "level": logging.root.level,
            "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
            "children": open(f"/proc/self/task/{os.getpid()}/children").read(),
        }

    before = surroundings()
    opened = len(os.listdir("/proc/self/fd"))
    ran = rehearsal.rehearse()
    after = surroundings()
    leaked = len(os.listdir("/proc/self/fd")) - opened
    modules = [name for name in sys.modules if name.endswith("rehearsed_dag")]
    sys.stdout.write("RESULT " + json.dumps({"ran": ran, "before": before, "after": after, "leaked": leaked,
                                             "modules": modules}))
"""

PLUGIN = """
    import os
    from airflow.plugins_manager import AirflowPlugin

    open(os.environ["HEARD"], "a").write("plugin ")

    class Curious(AirflowPlugin):
        name = "curious"
"""

POLICY = """
    import os

    def note(_):
        open(os.environ["HEARD"], "a").write("policy ")

    dag_policy = task_policy = note
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there tasks are rehearsed")


def rehearse(home: Path, **variables: str) -> dict[str, object]:
    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    environment = inherited | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"} | variables
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, object] = json.loads(done.stdout.partition("RESULT ")[2])
    return found


def test_the_rehearsal_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    found = rehearse(tmp_path)
    assert found["ran"] is True
    assert found["after"] == found["before"]
    assert (found["leaked"], found["modules"]) == (0, [])
    assert not list(tmp_path.rglob("*rehears*"))


def test_no_plugin_and_no_policy_hears_of_the_rehearsal(tmp_path: Path) -> None:
    for folder, name, text in (("plugins", "curious.py", PLUGIN), ("config", "airflow_local_settings.py", POLICY)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(textwrap.dedent(text))
    heard = tmp_path / "heard"
    assert rehearse(tmp_path, HEARD=str(heard))["ran"] is True
    assert not heard.exists()


def test_nothing_is_rehearsed_where_it_would_be_traced(tmp_path: Path) -> None:
    assert rehearse(tmp_path, AIRFLOW__TRACES__OTEL_ON="True")["ran"] is False
