"""Namespaces ``assets``, ``asset_events`` and ``asset_state_store``: what all runs of a task queue know of assets.

The answers follow ``airflow/api_fastapi/execution_api/routes/assets.py``, ``asset_events.py`` and
``asset_state_store.py``. State leaves this process sealed. It must not know where any of it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.sdk.api.datamodels._generated import (
    AssetEventResponse,
    AssetEventsResponse,
    AssetResponse,
    AssetStateStoreResponse,
)
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import AssetsByAliasResult, ErrorResponse, OKResponse

from temporal_airflow.models import (
    AssetEventRecord,
    AssetKey,
    AssetLookup,
    AssetRecord,
    EventQuestion,
    KnownAsset,
    StateChange,
)
from temporal_airflow.tasks import sealing
from temporal_airflow.tasks.execution_api.errors import not_found
from temporal_airflow.tasks.execution_api.kept_state import RunScope
from temporal_airflow.tasks.state_questions import ChangeAssetState, FindAssetEvents, FindAssets, FindAssetState


@dataclass(frozen=True)
class Assets:
    """Namespace ``assets``."""

    scope: RunScope

    def get(self, name: str | None = None, uri: str | None = None) -> AssetResponse | ErrorResponse:
        """The active asset of this name, or of this URI."""
        asset = _active(self.scope, name, uri)
        if asset is None:
            detail = {"name": name} if name else {"uri": uri}
            return ErrorResponse(error=ErrorType.ASSET_NOT_FOUND, detail=detail)
        return _response(asset)

    def get_by_alias(self, alias_name: str) -> AssetsByAliasResult:
        """The assets that events were emitted of through this alias."""
        found = self.scope.ask(FindAssets(lookup=AssetLookup(aliases=(alias_name,)))).assets
        return AssetsByAliasResult.from_asset_responses([_response(asset) for asset in found])


@dataclass(frozen=True)
class AssetEventCalls:
    """Namespace ``asset_events``."""

    scope: RunScope

    def get(  # noqa: PLR0917
        self,
        name: str | None = None,
        uri: str | None = None,
        alias_name: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        ascending: bool = True,  # Airflow's signature
        limit: int | None = None,
    ) -> AssetEventsResponse:
        """Events of an asset, by its name, its URI or both; or those that came through an alias."""
        source = self._asset(name, uri) if name or uri else alias_name
        if not source:
            return AssetEventsResponse(asset_events=[])
        question = EventQuestion(after=after, before=before, ascending=ascending, limit=limit)
        events = self.scope.ask(FindAssetEvents(source=source, question=question)).events
        return AssetEventsResponse(asset_events=[_event_response(event) for event in events])

    def _asset(self, name: str | None, uri: str | None) -> AssetKey | None:
        if name and uri:
            return AssetKey(name=name, uri=uri)
        return _key(_active(self.scope, name, uri))


@dataclass(frozen=True)
class AssetStateStore:
    """Namespace ``asset_state_store``."""

    scope: RunScope

    def get(
        self, key: str, *, name: str | None = None, uri: str | None = None
    ) -> AssetStateStoreResponse | ErrorResponse:
        """One value; an asset that isn't known has none, which Airflow's client doesn't tell apart."""
        asset = _key(_active(self.scope, name, uri))
        sealed = self.scope.ask(FindAssetState(asset=asset, key=key)).values.value if asset else None
        if sealed is None:
            return ErrorResponse(error=ErrorType.ASSET_STORE_NOT_FOUND, detail={"key": key})
        return AssetStateStoreResponse(value=sealing.unseal(sealed)["value"])

    def set(self, key: str, value: Any, *, name: str | None = None, uri: str | None = None) -> OKResponse:
        """Set one value."""
        return self._change(name, uri, StateChange(values={key: sealing.seal({"value": value})}))

    def delete(self, key: str, *, name: str | None = None, uri: str | None = None) -> OKResponse:
        """Delete one value, if there is one."""
        return self._change(name, uri, StateChange(values={key: None}))

    def clear(self, *, name: str | None = None, uri: str | None = None) -> OKResponse:
        """Delete every value."""
        return self._change(name, uri, StateChange(clear=True))

    def _change(self, name: str | None, uri: str | None, change: StateChange) -> OKResponse:
        asset = _key(_active(self.scope, name, uri))
        if asset is None:
            raise not_found(f"Asset with name={name!r} not found" if name else f"Asset with uri={uri!r} not found")
        self.scope.ask(ChangeAssetState(asset=asset, change=change))
        return OKResponse(ok=True)


def _active(scope: RunScope, name: str | None, uri: str | None) -> KnownAsset | None:
    """The active asset of this name, or of this URI: there is one at most."""
    lookup = AssetLookup(names=(name,)) if name else AssetLookup(uris=(uri or "",))
    return next((asset for asset in scope.ask(FindAssets(lookup=lookup)).assets if asset.active), None)


def _key(asset: KnownAsset | None) -> AssetKey | None:
    return None if asset is None else AssetKey(name=asset.name, uri=asset.uri)


def _response(asset: AssetRecord) -> AssetResponse:
    return AssetResponse(name=asset.name, uri=asset.uri, group=asset.group, extra=asset.extra)


def _event_response(event: AssetEventRecord) -> AssetEventResponse:
    return AssetEventResponse(
        id=event.id,
        timestamp=event.timestamp,
        extra=event.extra,
        asset=_response(event.asset),
        created_dagruns=[],
        source_task_id=event.source_task_id,
        source_dag_id=event.source_dag_id,
        source_run_id=event.source_run_id,
        source_map_index=event.source_map_index,
        partition_key=event.partition_key,
    )
