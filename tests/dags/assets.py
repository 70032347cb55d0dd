# mypy: ignore-errors
"""Assets: tasks that put them out, tasks that take them in, and what outlives both."""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias, asset, chain, dag, task

ORDERS = Asset(name="orders", uri="s3://warehouse/orders", extra={"owner": "team"})
ALIAS = AssetAlias("any-orders")
RIVAL = Asset(name="orders-too", uri="s3://warehouse/orders")


def described(events):
    return [
        {
            "asset": [event.asset.name, event.asset.uri, event.asset.group, event.asset.extra],
            "extra": event.extra,
            "source": [event.source_dag_id, event.source_task_id, event.source_map_index],
            "value": event.source_task_instance.xcom_pull(default="none"),
        }
        for event in events
    ]


@dag(schedule=None)
def emits():
    @task(outlets=[ORDERS])
    def rows(outlet_events=None):
        outlet_events[ORDERS].extra = {"rows": 3}
        return "from rows"

    @task(outlets=[ALIAS])
    def by_alias(outlet_events=None):
        outlet_events[ALIAS].add(Asset("s3://warehouse/found"), extra={"k": 1})
        outlet_events[ALIAS].add(ORDERS)

    @task(outlets=[Asset.ref(name="orders")])
    def mapped(n, outlet_events=None):
        outlet_events[Asset.ref(name="orders")].extra = {"n": n}

    @task(inlets=[ORDERS])
    def counts(inlet_events=None):
        return len(inlet_events[ORDERS])

    chain(rows(), by_alias(), mapped.expand(n=[1, 2]), counts())


@dag(schedule=[ORDERS])
def reads():
    @task(inlets=[ORDERS, ALIAS, Asset.ref(uri="s3://warehouse/orders"), Asset.ref(name="s3://warehouse/found")])
    def takes(inlet_events=None, triggering_asset_events=None):
        events = inlet_events[ORDERS]
        times = [event.timestamp for event in events]
        return {
            "all": described(events),
            "alias": [event.asset.name for event in inlet_events[ALIAS]],
            "by name": [len(inlet_events[Asset.ref(name="s3://warehouse/found")]), len(inlet_events[2])],
            "ascending": times == sorted(times) and [event.id for event in events] == sorted(e.id for e in events),
            "latest": described(inlet_events[ORDERS].ascending(False).limit(1))[0]["extra"],
            "since": len(inlet_events[ORDERS].ascending().limit(100).after(times[1].isoformat())),
            "until": len(inlet_events.for_asset(name="orders").before(times[1].isoformat())),
            "triggering": dict(triggering_asset_events),
        }

    takes()


@asset(uri="s3://warehouse/report", schedule=None, extra={"kind": "report"})
def report(self, context, orders):
    return [self.uri, self.extra, orders.uri, len(context["inlet_events"][orders])]


@asset.multi(schedule=None, outlets=[Asset("first"), Asset("second")])
def both(context, outlet_events):
    outlet_events[Asset("second")].extra = {"from": context["dag"].dag_id}


@dag(schedule=None)
def keeps_asset_state():
    @task(inlets=[ORDERS], outlets=[Asset.ref(uri="s3://warehouse/report"), ALIAS], retries=1, retry_delay=0)
    def keeps(asset_state_store=None, ti=None):
        state = asset_state_store[ORDERS]
        count = state.get("count", default=0)
        state.set("count", count + 1)
        if ti.try_number == 1:
            raise ValueError("the next try finds what this one has kept")
        state.set("secret", {"of": "KEPT-STATE"})
        state.set("gone", 1)
        state.delete("gone")
        by_uri = asset_state_store[Asset.ref(uri="s3://warehouse/report")]
        by_uri.set("a", 1)
        by_uri.clear()
        by_uri.set("b", [2])
        return [state.get("count"), state.get("secret") == {"of": "KEPT-STATE"}, state.get("gone", default="none")]

    @task(inlets=[Asset.ref(name="report"), ALIAS])
    def reads_it(asset_state_store=None):
        return [asset_state_store[Asset.ref(name="report")].get(key, default="none") for key in "ab"]

    keeps() >> reads_it()


@dag(schedule=None)
def is_rivalled():
    @task(outlets=[RIVAL])
    def emits_nothing():
        return 1

    emits_nothing()


@dag(schedule=None)
def returns_inactive():
    @task
    def returns():
        return Asset("s3://warehouse/unknown")

    @task(inlets=[Asset.ref(name="never heard of")])
    def takes():
        return 1

    returns() >> takes()


emits()
reads()
keeps_asset_state()
is_rivalled()
returns_inactive()
