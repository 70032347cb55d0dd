"""How wire models become Temporal payloads: Pydantic's JSON, without what was never set.

A client with another payload codec (encryption) keeps it; only the payload converter is ours.
"""

from __future__ import annotations

from temporalio.contrib.pydantic import PydanticPayloadConverter, ToJsonOptions
from temporalio.converter import CompositePayloadConverter, DataConverter

_PYDANTIC = PydanticPayloadConverter(ToJsonOptions(exclude_unset=True))


class WirePayloadConverter(CompositePayloadConverter):
    """Pydantic's converter that leaves unset fields out: histories stay small.

    The SDK makes two for each activation of a workflow; they share what Pydantic prepares.
    """

    def __init__(self) -> None:
        super().__init__(*_PYDANTIC.converters.values())


DATA_CONVERTER = DataConverter(payload_converter_class=WirePayloadConverter)
