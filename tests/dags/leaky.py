"""A task that changes all it can reach in its process, and one that says what it finds there."""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
import signal
import string
import sys
import warnings
from pathlib import Path

import structlog
from airflow.sdk import DAG, Asset, task
from airflow.sdk.definitions._internal import contextmanager
from airflow.sdk.lineage import get_hook_lineage_collector
from airflow.sdk.log import mask_secret

SCRATCH = Path(os.environ.get("TASK_TEST_SCRATCH", "/nonexistent"))
SECRET = "open-sesame"
OF_THE_TASK = ("AIRFLOW_CTX_", "_AIRFLOW_")


class Collected(logging.Handler):
    def emit(self, record):
        pass


def planted(*_):
    (SCRATCH / "planted").touch()


def kept(name):
    return getattr(string, name, contextvars.ContextVar(name, default="untouched"))


with DAG("leaky", schedule=None):

    @task
    def dirties(ti=None):
        ti.xcom_push("of_its_run", "for nobody else")
        os.environ["LEAKED"] = "1"
        os.environ["TZ"] = "Asia/Tokyo"
        del os.environ["AIRFLOW_VAR_PRESENT"]
        os.chdir(SCRATCH)
        os.umask(0o777)
        sys.path.insert(0, "/leaked")
        for name in (None, "airflow", "leaky", "leaky.new"):
            logging.getLogger(name).addHandler(Collected())
            logging.getLogger(name).setLevel(logging.CRITICAL)
        structlog.contextvars.bind_contextvars(leaked=1)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, planted)
        signal.setitimer(signal.ITIMER_REAL, 300)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        sys.excepthook = warnings.showwarning = planted
        atexit.register((SCRATCH / "at_exit").touch)
        mask_secret(SECRET)
        get_hook_lineage_collector().add_input_asset(None, uri="file://leaked")
        string.variable = contextvars.ContextVar("variable", default="untouched")
        string.variable.set("touched")
        string.opened = open(SCRATCH / "opened", "w")  # noqa: SIM115

    @task(inlets=[Asset("leaked")])
    def looks(ti=None):
        print("It said", SECRET)
        logging.getLogger("leaky").info("It logged %s", SECRET)
        names = [None, *sorted(logging.root.manager.loggerDict)]
        return {
            "environment": {name: os.environ[name] for name in os.environ if not name.startswith(OF_THE_TASK)},
            "folder": str(Path.cwd()),
            "path": sys.path,
            "handlers": [name for name in names if "Collected" in str(logging.getLogger(name).handlers)],
            "silent": [name for name in names if logging.getLogger(name).level == logging.CRITICAL],
            "fields": sorted(structlog.contextvars.get_contextvars()),
            "signals": [str(signal.getsignal(number)).split(" at ")[0] for number in range(1, 30)],
            "timer": signal.getitimer(signal.ITIMER_REAL),
            "output": type(sys.stdout).__name__,
            "hooks": [sys.excepthook.__name__, warnings.showwarning.__name__],
            "contexts": len(contextmanager._CURRENT_CONTEXT),
            "lineage": len(get_hook_lineage_collector().collected_assets.inputs),
            "variable": kept("variable").get(),
            "other_run": ti.xcom_pull("dirties", key="of_its_run"),
            "umask": os.umask(0o022),
        }

    @task
    def looks_for_what_may_stay():
        opened = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
        return [hasattr(string, "opened"), str(SCRATCH / "opened") in opened]

    dirties()
    looks()
    looks_for_what_may_stay()
