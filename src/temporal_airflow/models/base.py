"""What all wire models stand on."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

RETURN_KEY = "return_value"
"""Airflow's key of a task's return value (``airflow.models.xcom.XCOM_RETURN_KEY``)."""


SealedKwargs = Annotated[str, Field(description="JSON text of Airflow-serialized arguments, Fernet-encrypted")]
"""Arguments that may hold secrets: encrypted with Airflow's Fernet key as in its database; opaque to all but tasks."""


SerializedXCom = Annotated[str, Field(description="ASCII JSON text of the Task SDK's wire value")]


class WireModel(BaseModel):
    """Base of all wire models: immutable, unknown fields of newer releases ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")


class CompactModel(WireModel):
    """A wire model that a history holds many of: what is as usual doesn't travel.

    So a default of such a model must never change: it is what old histories mean.
    """

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = _defaults(type(self))
        return {
            name: value
            for name, value in write(self).items()
            if name not in defaults or getattr(self, name) != defaults[name]
        }


@cache
def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in model.model_fields.items()
        if not field.is_required()
    }


class BundleReference(CompactModel):
    """Where a worker finds the DAG file: Airflow's bundle, its version and the path inside it."""

    name: str
    version: str | None = None
    relative_fileloc: str
