"""Callbacks of deadlines: they lie beside the DAG file, since what is awaited can't be imported from a DAG file."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import BaseNotifier, Connection


def leave(context, line: str) -> None:
    run, kind = context["dag_run"], type(context["deadline"]["deadline_time"]).__name__
    with (Path(run["conf"]["scratch"]) / "missed").open("a") as notes:
        notes.write(f"{line} {run['dag_run_id']} {run['state']} {kind}\n")


def called(context, who: str, secret: str = "none") -> None:
    print(f"called with {secret}")
    leave(context, f"{who} {secret} {Connection.get('vault').password}")


async def awaited(context, who: str, secret: str = "none") -> None:
    leave(context, f"{who} {secret} {(await Connection.async_get('vault')).password}")


def fails(context) -> None:
    raise ValueError("a callback that fails")


async def fails_when_awaited(context) -> None:
    raise ValueError("a callback that fails when awaited")


def leaves(context) -> None:
    os._exit(7)


class Notifier(BaseNotifier):
    def __init__(self, who: str):
        super().__init__()
        self.who = who

    def notify(self, context) -> None:
        leave(context, f"notifier {self.who}")
