# mypy: ignore-errors
"""Classes whose values travel as XComs: the installation allows them to be deserialized."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import attrs
import pydantic


@dataclass
class Nested:
    when: datetime
    inner: dict = field(default_factory=dict)


@attrs.frozen
class Frozen:
    values: tuple
    point: Nested | None = None


class Outer(pydantic.BaseModel):
    price: Decimal
    parts: list[dict[str, int]]


class ByHand:
    """Airflow's protocol."""

    __version__ = 3

    def __init__(self, value):
        self.value = value

    def serialize(self):
        return {"price": Decimal(3), "value": self.value}

    @staticmethod
    def deserialize(data, version):
        return f"read by hand {data} {version}"


class Refuses:
    __version__ = 1

    def serialize(self):
        raise ValueError("not serialized")


class NotAllowed(pydantic.BaseModel):
    """Its name stands in no list."""

    value: int
