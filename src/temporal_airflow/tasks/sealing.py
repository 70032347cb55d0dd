"""Seals values that may hold secrets before they travel, as Airflow does before it keeps them in its database.

A sealed text is what Airflow keeps in ``Trigger.encrypted_kwargs``: the JSON text of serialized arguments, encrypted
with ``[core] fernet_key``; not encrypted if there is no key. Nothing else knows Fernet; this must not know what the
values are for.
"""

from __future__ import annotations

import json
from typing import Any

from airflow.models.crypto import get_fernet
from cryptography.fernet import InvalidToken

from temporal_airflow.exceptions import SettingsError
from temporal_airflow.models import SealedKwargs


def seal(value: Any) -> SealedKwargs:
    """Seal a JSON object."""
    return get_fernet().encrypt(json.dumps(value).encode()).decode()


def encrypts() -> bool:
    """Whether a seal hides what it seals: only if there is a ``[core] fernet_key``."""
    return bool(get_fernet().is_encrypted)


def unseal(sealed: SealedKwargs) -> Any:
    """The JSON object that was sealed.

    Raises:
        SettingsError: if it was sealed with another key.
    """
    if sealed.startswith("{"):  # sealed without a key, as Airflow recognizes it
        return json.loads(sealed)
    try:
        return json.loads(get_fernet().decrypt(sealed.encode()))
    except (InvalidToken, json.JSONDecodeError) as error:
        raise SettingsError(
            "What a task had kept was encrypted with another [core] fernet_key than this worker has. "
            "Give all workers the same key (AIRFLOW__CORE__FERNET_KEY)."
        ) from error
