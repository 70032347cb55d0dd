"""A process with stock Airflow in it, and the wire to it: pickles over its standard input and output.

It starts without any of our changes to Airflow, with Airflow's full initialization on a SQLite file of its own.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from .messages import Report, Standing


class StockAirflowError(RuntimeError):
    """Stock Airflow raised; the message is its traceback."""


class Reference:
    """Stock Airflow in a process of its own."""

    def __init__(self, folder: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
        environment = {
            **inherited,
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],  # the name by which its messages are pickled
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def open(self, serialized: dict[str, Any], start: datetime) -> None:
        """Begin a run; :meth:`answer` must follow."""
        self._send("open", serialized, start)

    def step(self, now: datetime, reports: Iterable[Report]) -> None:
        """Take a step; :meth:`answer` must follow."""
        self._send("step", now, list(reports))

    def answer(self) -> Standing | None:
        """The answer to the last question."""
        assert self._process.stdout is not None
        kind, value = pickle.load(self._process.stdout)
        if kind == "error":
            raise StockAirflowError(value)
        answer: Standing | None = value
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _send(self, *question: Any) -> None:
        assert self._process.stdin is not None
        pickle.dump(question, self._process.stdin)
        self._process.stdin.flush()


def serve() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever Airflow prints must not get between answers

    import sqlalchemy

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def hurry(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    import traceback

    from . import stock_order  # noqa: F401  # first, as it says
    from .stock import StockAirflow

    airflow = StockAirflow()
    gc.freeze()  # Airflow itself stays: looking through it for garbage costs a tenth of all time
    gc.set_threshold(50_000, 20, 50)
    while True:
        try:
            name, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = ("value", getattr(airflow, name)(*arguments))
        except Exception:  # noqa: BLE001  # whatever it is, it is the answer
            answer = ("error", traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    serve()
