"""Keeps the state of a run true in Temporal's lists: the search attribute with which it was started, if it was.

A server without these attributes refuses them, so who starts a run settles whether it has any. A change costs one event
of the history: the end of most runs is all there is. It must not know who lists runs.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from temporal_airflow.identifiers import RUN_STATE_ATTRIBUTE

RUN_STATE = SearchAttributeKey.for_keyword(RUN_STATE_ATTRIBUTE)


def show(state: str) -> None:
    """Say in which state the run is."""
    shown = workflow.info().typed_search_attributes.get(RUN_STATE)
    if shown is not None and shown != state:
        workflow.upsert_search_attributes([RUN_STATE.value_set(state)])
