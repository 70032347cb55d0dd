"""How a run deals with assets: when it makes them known, what it publishes, who waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, task

from engine_play import START, Play
from temporal_airflow.engine.asset_changes import asset_events
from temporal_airflow.engine.events import (
    AssetEventsPublished,
    AssetsRegistered,
    CancelRequested,
    PublishAssetEvents,
    RegisterAssets,
    StartTask,
)
from temporal_airflow.models import AssetChanges, AssetEvents, AssetRecord, FileAssets, KnownAsset

ORDERS = Asset(name="orders", uri="s3://orders")
OF_FILE = FileAssets(file="dags-folder:dag.py", assets=(AssetRecord(name="orders", uri="s3://orders"),))
PUT_OUT = AssetEvents(task_outlets=({"type": "Asset", "name": "orders", "uri": "s3://orders"},))
KNOWN = KnownAsset(name="orders", uri="s3://orders", active=True)


def a_dag() -> DAG:
    with DAG("dag", schedule=None, start_date=START) as dag:
        made = task(task_id="makes", outlets=[ORDERS])(lambda: None)()
        made >> [
            task(task_id="reads", inlets=[ORDERS, AssetAlias("x")])(lambda: None)(),
            task(task_id="another")(lambda: None)(),
        ]
        task(task_id="apart")(lambda: None)()
    return dag


def published(run: Play) -> list[AssetChanges]:
    return [change for each in run.commands if isinstance(each, PublishAssetEvents) for change in each.given.changes]


def test_nothing_that_has_assets_starts_before_they_are_known(play: Callable[..., Play]) -> None:
    run = play(a_dag(), assets=OF_FILE)
    assert [each.given.file_assets for each in run.commands if isinstance(each, RegisterAssets)] == [OF_FILE]
    assert run.started == ["apart"]
    run.step(AssetsRegistered())
    [start] = [each for each in run.commands if isinstance(each, StartTask)]
    assert (run.started, [key.name for key in start.attempt.declared_assets]) == (["makes"], ["orders"])


def test_a_task_with_inlets_waits_for_what_its_run_publishes(play: Callable[..., Play]) -> None:
    run = play(a_dag(), assets=OF_FILE)
    run.step(AssetsRegistered())
    run.step(run.ended("makes", asset_events=PUT_OUT))
    assert [(change.task_id, change.at, change.events) for change in published(run)] == [("makes", run.now, PUT_OUT)]
    assert run.started == ["another"]
    run.step(AssetEventsPublished())
    assert run.started == ["reads"]


def test_a_run_ends_after_its_events_are_published(play: Callable[..., Play]) -> None:
    run = play(a_dag(), assets=OF_FILE)
    run.step(AssetsRegistered())
    run.step(run.ended("makes", asset_events=PUT_OUT), CancelRequested("enough"), run.ended("apart"))
    assert (run.engine.record.state, run.engine.finished) == ("failed", False)
    run.step(AssetEventsPublished())
    assert run.engine.finished


def test_a_run_whose_events_can_not_be_published_says_so(play: Callable[..., Play]) -> None:
    run = play(a_dag(), assets=OF_FILE)
    run.step(AssetsRegistered(error="there is no room"))
    assert (run.engine.record.state, run.engine.record.reason) == (
        "failed",
        "asset events can't be recorded: there is no room",
    )


def test_a_run_of_an_older_release_and_one_without_assets_command_nothing_new(play: Callable[..., Play]) -> None:
    for of_file in (None, FileAssets(file="dags-folder:dag.py")):
        run = play(a_dag(), assets=of_file)
        assert run.started == ["makes", "apart"]
        run.step(run.ended("makes"))
        assert published(run) == []


def test_what_tasks_put_out_together_is_published_in_portions(play: Callable[..., Play]) -> None:
    with DAG("dag", schedule=None, start_date=START) as dag:
        for number in range(10):
            task(task_id=f"t{number}", outlets=[ORDERS])(lambda: None)()
    run = play(dag, assets=OF_FILE)
    run.step(AssetsRegistered())
    large = AssetEvents(task_outlets=PUT_OUT.task_outlets, outlet_events=({"extra": {"k": "x" * 110_000}},))
    run.step(*(run.ended(f"t{number}", asset_events=large) for number in range(10)))
    portions = [len(each.given.changes) for each in run.commands if isinstance(each, PublishAssetEvents)]
    assert portions == [3, 3, 3, 1]
    run.step(*(AssetEventsPublished() for _ in portions))
    assert run.engine.finished


def changes(outlets: tuple[dict[str, Any], ...], *events: dict[str, Any]) -> AssetChanges:
    return AssetChanges(
        at=START,
        dag_id="dag",
        run_id="run",
        task_id="task",
        try_number=1,
        partition_key="of the run",
        events=AssetEvents(task_outlets=outlets, outlet_events=events),
    )


def test_airflow_says_which_events_a_success_makes() -> None:
    orders = {"name": "orders", "uri": "s3://orders"}
    found = {"name": "found", "uri": "s3://found"}
    outlets = (
        {"type": "AssetNameRef", "name": "orders"},
        {"type": "Asset", "name": "inactive", "uri": "s3://inactive"},
        {"type": "AssetAlias", "name": "alias"},
    )
    change = changes(
        outlets,
        {"dest_asset_key": orders, "extra": {"n": 1}, "partition_key": "own"},
        {"dest_asset_key": orders, "extra": {"n": 2}},
        {"source_alias_name": "alias", "dest_asset_key": found, "dest_asset_extra": {"of": "asset"}, "extra": {}},
        {"source_alias_name": "not an outlet", "dest_asset_key": found, "dest_asset_extra": {}, "extra": {}},
    )
    inactive = KnownAsset(name="inactive", uri="s3://inactive", active=False)
    events = asset_events([change, change], [KNOWN, inactive])
    first, second = events[:3], events[3:]
    assert [(each.asset.name, each.extra, each.partition_key, each.aliases) for each in first] == [
        ("found", {}, "of the run", ("alias",)),
        ("orders", {"n": 1}, "own", ()),
        ("orders", {"n": 2}, "of the run", ()),
    ]
    assert first[0].asset.extra == {"of": "asset"}
    assert [each.key for each in first] == [each.key for each in second]
    assert [each.id for each in events] == sorted({each.id for each in events})
    assert {each.timestamp for each in events} == {START}
