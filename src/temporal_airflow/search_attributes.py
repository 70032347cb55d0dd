"""The search attributes by which Temporal finds runs, on servers that have them: everything also goes without.

A namespace has to know a search attribute before anything is started with it. Ours are made with a server of our own;
elsewhere somebody has to create them. It must not know how runs are started or listed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from airflow.utils.state import DagRunState
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from temporal_airflow import identifiers
from temporal_airflow.models import DagRunIdentity

DAG_ID = SearchAttributeKey.for_keyword(identifiers.DAG_ID_ATTRIBUTE)
RUN_TYPE = SearchAttributeKey.for_keyword(identifiers.RUN_TYPE_ATTRIBUTE)
LOGICAL_DATE = SearchAttributeKey.for_datetime(identifiers.LOGICAL_DATE_ATTRIBUTE)
RUN_STATE = SearchAttributeKey.for_keyword(identifiers.RUN_STATE_ATTRIBUTE)

LOOK_AGAIN = 60.0
"""Seconds after which a namespace that hadn't them is asked again: somebody may have created them."""


@dataclass(frozen=True)
class _Look:
    found: bool
    at: float


_looks: WeakKeyDictionary[Client, _Look] = WeakKeyDictionary()


async def exist(client: Client) -> bool:
    """Whether the client's namespace has them all; it is asked once, and again only after it hadn't."""
    look = _looks.get(client)
    if look is None or not (look.found or time.monotonic() - look.at < LOOK_AGAIN):
        look = _looks[client] = _Look(not await missing(client), time.monotonic())
    return look.found


async def missing(client: Client) -> dict[str, str]:
    """Those that the namespace doesn't have, with their type; a server that doesn't tell has none."""
    try:
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError:  # not allowed, or not known to a server that is compatible with Temporal's
        return dict(identifiers.SEARCH_ATTRIBUTES)
    there: Mapping[str, int] = answer.custom_attributes
    return {
        name: kind
        for name, kind in identifiers.SEARCH_ATTRIBUTES.items()
        if there.get(name) != IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
    }


def of_run(run: DagRunIdentity, state: DagRunState) -> TypedSearchAttributes:
    """What a run is started with.

    Args:
        run: the run.
        state: in which it begins.
    """
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(DAG_ID, run.dag_id),
        SearchAttributePair(RUN_TYPE, run.run_type.value),
        SearchAttributePair(RUN_STATE, state.value),
    ]
    if run.logical_date is not None:
        pairs.append(SearchAttributePair(LOGICAL_DATE, run.logical_date))
    return TypedSearchAttributes(pairs)


def state_of(execution: WorkflowExecution) -> DagRunState | None:
    """In which state a run says it is; None if it was started without search attributes."""
    state = execution.typed_search_attributes.get(RUN_STATE)
    return DagRunState(state) if state in set(DagRunState) else None
