"""The records of stock Airflow: of every situation there is one, and it says what a clearing must say."""

from __future__ import annotations

import pytest

from .situations import SITUATIONS, Situation


def test_situations_have_names_of_their_own() -> None:
    names = {situation.name for situation in SITUATIONS}
    assert len(names) == len(SITUATIONS) >= 20


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_airflow_has_cleared_something_and_the_run_has_ended(situation: Situation) -> None:
    record = situation.record()
    assert record["cleared"]
    assert record["state"] in {"success", "failed"}
    assert all(record["before"][name] == list(stands) for name, stands in situation.until.items())
