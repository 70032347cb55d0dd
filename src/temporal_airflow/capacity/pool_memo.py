"""What the memo of a pool's workflow says, so that pools are listed and read without any worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporal_airflow.models import PoolDefinition


def memo_of(definition: PoolDefinition, *, deleted: bool = False) -> dict[str, object]:
    """The memo of a pool."""
    return {"pool": definition.model_dump(mode="json"), "deleted": deleted}


def pool_in(memo: Mapping[str, Any]) -> PoolDefinition | None:
    """The pool that a memo is of; None if it is no user's, or deleted."""
    described = memo.get("pool")
    if described is None or memo.get("deleted"):
        return None
    return PoolDefinition.model_validate(described)
