"""Airflow's masker, for texts that leave a process. It must not know what they say."""

from __future__ import annotations

from typing import overload


@overload
def masked(text: str) -> str: ...


@overload
def masked(text: str | None) -> str | None: ...


def masked(text: str | None) -> str | None:
    """A text without the secrets that this process knows."""
    from airflow.sdk._shared.secrets_masker import redact

    return None if text is None else str(redact(text))
