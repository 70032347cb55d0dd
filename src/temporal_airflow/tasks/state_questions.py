"""What a task may ask of, and write to, state that outlives runs: a part of the messages between slot and worker.

The worker answers with :class:`StateAnswer`. Values are texts that only task processes understand.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from temporal_airflow.models import (
    AssetEventRecord,
    AssetKey,
    AssetLookup,
    EventQuestion,
    KnownAsset,
    StateChange,
    ValueAnswer,
    ValueQuestion,
)


class StateMessage(BaseModel):
    """Base of all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FindVariables(StateMessage):
    """A variable, or the keys of variables; answered by ``values``."""

    kind: Literal["find_variables"] = "find_variables"
    question: ValueQuestion


class WriteVariable(StateMessage):
    """Set a variable, or delete it."""

    kind: Literal["write_variable"] = "write_variable"
    key: str
    sealed: str | None


class FindAssets(StateMessage):
    """Assets; answered by ``assets``."""

    kind: Literal["find_assets"] = "find_assets"
    lookup: AssetLookup


class FindAssetEvents(StateMessage):
    """Events of an asset, or of an alias; answered by ``events``."""

    kind: Literal["find_asset_events"] = "find_asset_events"
    source: AssetKey | str
    question: EventQuestion


class FindAssetState(StateMessage):
    """A value of an asset's state store; answered by ``values``."""

    kind: Literal["find_asset_state"] = "find_asset_state"
    asset: AssetKey
    key: str


class ChangeAssetState(StateMessage):
    """Set or delete values of an asset's state store."""

    kind: Literal["change_asset_state"] = "change_asset_state"
    asset: AssetKey
    change: StateChange


StateQuestion = Annotated[
    FindVariables | WriteVariable | FindAssets | FindAssetEvents | FindAssetState | ChangeAssetState,
    Field(discriminator="kind"),
]


class StateAnswer(StateMessage):
    """The answer: whatever was asked for."""

    values: ValueAnswer = ValueAnswer()
    assets: tuple[KnownAsset, ...] = ()
    events: tuple[AssetEventRecord, ...] = ()
