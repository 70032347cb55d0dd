"""What `list` understands of its options, and what it asks the server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.utils.state import DagRunState

from temporal_airflow.cli.list_runs import read_since, read_state
from temporal_airflow.exceptions import InputError
from temporal_airflow.run_filters import RunFilter

NOW = datetime(2026, 6, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30s", datetime(2026, 6, 8, 11, 59, 30, tzinfo=UTC)),
        ("90m", datetime(2026, 6, 8, 10, 30, tzinfo=UTC)),
        ("1.5h", datetime(2026, 6, 8, 10, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        ("2w", datetime(2026, 5, 25, 12, tzinfo=UTC)),
        ("2026-06-01", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-06-01T12:00", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        ("2026-06-01T12:00+02:00", datetime(2026, 6, 1, 10, tzinfo=UTC)),
    ],
)
def test_since(text: str, moment: datetime) -> None:
    assert read_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2", "h", "-2h", "2 hours", "9999999999d", "2026-13-01"])
def test_since_no_moment(text: str) -> None:
    with pytest.raises(InputError, match="neither a duration nor a moment; write it like 90m, 2h, 7d or 2026-"):
        read_since(text, NOW)


def test_an_unknown_state() -> None:
    assert read_state("failed") is DagRunState.FAILED
    with pytest.raises(InputError) as caught:
        read_state("faild")
    assert str(caught.value) == (
        "Runs have no state 'faild' (did you mean 'failed'?); there are: failed, queued, running, success."
    )


def test_what_a_user_writes_can_not_leave_its_place_in_a_filter() -> None:
    query = RunFilter('a" OR WorkflowId != "\\').query(by_attributes=True)
    assert 'AirflowDagId = "a\\" OR WorkflowId != \\"\\\\"' in query
