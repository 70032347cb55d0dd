"""Compares two outcomes of one DAG: every field, exactly. It must not know which of them is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One field of one run that is not the same.

    Attributes:
        task: None for a field of the run.
        airflow: the value under stock Airflow.
        ours: the value under us.
    """

    dag_id: str
    task: str | None
    field: str
    airflow: Any
    ours: Any

    def __str__(self) -> str:
        place = f"{self.dag_id}, {self.task}" if self.task else self.dag_id
        return f"{place}: {self.field}: Airflow {self.airflow!r}, ours {self.ours!r}"


def differences(airflow: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Difference]:
    """Every difference between two normalised outcomes."""
    return list(_differences(airflow["dag_id"], airflow, ours))


def _differences(dag_id: str, airflow: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Difference]:
    if airflow["state"] != ours["state"]:
        yield Difference(dag_id, None, "state of the run", airflow["state"], ours["state"])
    for task, there, here in _pairs(airflow["tasks"], ours["tasks"]):
        if ABSENT in (there, here):
            yield Difference(dag_id, task, "task instance", there, here)
        else:
            for name, expected, actual in _unequal(there, here):
                yield Difference(dag_id, task, name, expected, actual)
    for task, there, here in _pairs(airflow["xcoms"], ours["xcoms"], absent={}):
        for key, expected, actual in _unequal(there, here):
            yield Difference(dag_id, task, f"XCom {key}", expected, actual)
    for name, there, here in _pairs(airflow["notes"], ours["notes"], absent=[]):
        if there != here:
            yield Difference(dag_id, None, f"notes in {name}", *_only_in_each(there, here))
    if airflow["asset_events"] != ours["asset_events"]:
        only = _only_in_each(airflow["asset_events"], ours["asset_events"])
        yield Difference(dag_id, None, "asset events", *only)


def _pairs(there: Mapping[str, Any], here: Mapping[str, Any], absent: Any = ABSENT) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*there, *here}):
        yield name, there.get(name, absent), here.get(name, absent)


def _unequal(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name, expected, actual in _pairs(there, here):
        if not _same(expected, actual):
            yield name, expected, actual


def _same(expected: Any, actual: Any) -> bool:
    """Equal in type, too: ``1``, ``1.0`` and ``True`` are different XComs."""
    match expected, actual:
        case Mapping(), Mapping():
            return expected.keys() == actual.keys() and all(_same(expected[key], actual[key]) for key in expected)
        case list(), list():
            return len(expected) == len(actual) and all(map(_same, expected, actual))
        case _:
            return type(expected) is type(actual) and expected == actual


def _only_in_each(there: list[Any], here: list[Any]) -> tuple[list[Any], list[Any]]:
    """What is in one list and not in the other, each as often as it is there more."""
    missing, extra = list(there), []
    for each in here:
        if each in missing:
            missing.remove(each)
        else:
            extra.append(each)
    return missing, extra
