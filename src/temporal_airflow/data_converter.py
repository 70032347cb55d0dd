"""How wire models become Temporal payloads: Pydantic's JSON, without what was never set.

A client with another payload codec (encryption) keeps it; only the payload converter is ours.
"""

from __future__ import annotations

from temporalio.contrib.pydantic import PydanticPayloadConverter, ToJsonOptions
from temporalio.converter import DataConverter


class WirePayloadConverter(PydanticPayloadConverter):
    """Pydantic's converter that leaves unset fields out: histories stay small."""

    def __init__(self) -> None:
        super().__init__(ToJsonOptions(exclude_unset=True))


DATA_CONVERTER = DataConverter(payload_converter_class=WirePayloadConverter)
