"""What outlives runs, without the workflows around it: values, events, and which assets there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from temporal_airflow.models import (
    AssetCatalogue,
    AssetEventRecord,
    AssetLookup,
    AssetRecord,
    CatalogueChange,
    EventQuestion,
    KeptState,
    StateChange,
    ValueQuestion,
)
from temporal_airflow.workflows import kept_values
from temporal_airflow.workflows.kept_values import KeptValues, StateFullError
from temporal_airflow.workflows.known_assets import CatalogueFullError, KnownAssets

START = datetime(2026, 5, 1, tzinfo=UTC)
A, B = AssetRecord(name="a", uri="s3://a"), AssetRecord(name="b", uri="s3://b")
RIVAL = AssetRecord(name="rival", uri="s3://a")
NAMESAKE = AssetRecord(name="b", uri="s3://other")


def event(number: int, **fields: Any) -> AssetEventRecord:
    return AssetEventRecord(
        id=number,
        key=f"key{number}",
        asset=A,
        timestamp=START + timedelta(seconds=number),
        source_dag_id="dag",
        source_run_id="run",
        source_task_id="task",
        **fields,
    )


def ids(kept: KeptValues, **question: Any) -> list[int]:
    return [each.id for each in kept.events(EventQuestion(**question))]


def test_an_event_that_comes_twice_or_late_is_kept_once_and_in_order() -> None:
    kept = KeptValues(KeptState())
    for numbers in ((1, 3), (3, 2), (1,)):
        kept.apply(StateChange(events=tuple(map(event, numbers))))
    assert ids(kept) == [1, 2, 3]
    assert ids(kept, ascending=False, limit=2) == [3, 2]
    assert ids(kept, after=START + timedelta(seconds=2)) == [2, 3]
    assert ids(kept, before=START + timedelta(seconds=2), after=START + timedelta(seconds=2)) == [2]
    assert ids(KeptValues(kept.state())) == [1, 2, 3]


def test_the_oldest_events_make_room_and_do_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_values, "MOST_EVENTS", 3)
    kept = KeptValues(KeptState())
    kept.apply(StateChange(events=tuple(map(event, range(1, 6)))))
    again = KeptValues(kept.state())
    again.apply(StateChange(events=(event(1), event(2), event(6))))
    assert ids(again) == [4, 5, 6]


def test_large_events_make_room_sooner() -> None:
    kept = KeptValues(KeptState())
    for number in range(1, 10):
        kept.apply(StateChange(events=(event(number, extra={"k": "x" * 100_000}),)))
    assert ids(kept) == [5, 6, 7, 8, 9]
    assert len(kept.state().model_dump_json()) < kept_values.MOST_EVENT_BYTES + 1000


def test_values_are_set_deleted_cleared_and_listed_by_prefix() -> None:
    kept = KeptValues(KeptState(values={"old": "1"}))
    kept.apply(StateChange(values={"b/2": "x", "b/1": "y", "a": "z", "old": None}))
    page = kept.values(ValueQuestion(prefix="b/", limit=1, offset=1))
    assert (page.keys, page.total) == (("b/2",), 2)
    kept.apply(StateChange(clear=True, values={"new": "1"}))
    assert kept.state().values == {"new": "1"}


def test_what_there_is_no_room_for_is_refused_and_what_makes_room_is_not() -> None:
    kept = KeptValues(KeptState(values={"large": "x" * kept_values.MOST_VALUE_BYTES}))
    with pytest.raises(StateFullError, match="no room for 'more'"):
        kept.check(StateChange(values={"more": "x"}))
    kept.check(StateChange(values={"large": None}))
    kept.check(StateChange(values={"large": "small"}))


def active(known: KnownAssets) -> list[tuple[str, str]]:
    return [(key.name, key.uri) for key in known.state().active]


def known_assets(**files: tuple[AssetRecord, ...]) -> KnownAssets:
    known = KnownAssets(AssetCatalogue())
    for file, assets in files.items():
        known.apply(CatalogueChange(files={file: assets}))
    return known


def test_the_first_asset_of_a_name_and_of_a_uri_is_active_as_long_as_a_file_refers_to_it() -> None:
    known = known_assets(one=(A, B), two=(RIVAL, NAMESAKE, A))
    assert active(known) == [("a", "s3://a"), ("b", "s3://b")]
    known.apply(CatalogueChange(files={"one": ()}))
    assert active(known) == [("a", "s3://a"), ("b", "s3://other")]
    known.apply(CatalogueChange(files={"two": (RIVAL,)}))
    assert active(known) == [("rival", "s3://a")]


def test_an_alias_keeps_its_assets_active_and_finds_them() -> None:
    known = known_assets(one=(A,))
    for _ in range(2):
        known.apply(CatalogueChange(aliases={"alias": (A, B)}))
    known.apply(CatalogueChange(files={"one": ()}))
    found = known.find(AssetLookup(aliases=("alias", "unheard of")))
    assert [(asset.name, asset.active) for asset in found] == [("a", True), ("b", True)]


def test_the_latest_file_describes_an_asset() -> None:
    described = A.model_copy(update={"extra": {"new": 1}})
    known = known_assets(one=(A,), two=(described,))
    [found] = known.find(AssetLookup(names=("a",)))
    assert found.extra == {"new": 1}
    assert {asset.name for asset in known.find(AssetLookup(uris=("s3://a",), files=("one",), keys=(B,)))} == {"a"}


def test_too_many_assets_are_refused() -> None:
    many = tuple(AssetRecord(name=f"asset {number}", uri=f"s3://{'x' * 1000}/{number}") for number in range(1000))
    with pytest.raises(CatalogueFullError, match="no room for more assets"):
        known_assets().check(CatalogueChange(files={"one": many}))
