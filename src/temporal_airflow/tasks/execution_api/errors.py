"""How calls are refused as Airflow's server would refuse them.

What this version can't do raises an :class:`~temporal_airflow.exceptions.UnsupportedFeatureError` instead. Either way
the task sees an API error, and fails with the message unless it catches it. It must not know which call it is.
"""

from __future__ import annotations

from http import HTTPStatus

import httpx
from airflow.sdk.api.client import ServerResponseError


def server_error(status: HTTPStatus, reason: str, message: str) -> ServerResponseError:
    """What Airflow's own client raises on such a response, so that the supervisor reacts as under Airflow."""
    response = httpx.Response(
        status,
        json={"detail": {"reason": reason, "message": message}},
        headers={"content-type": "application/json"},
        request=httpx.Request("POST", "http://temporal-airflow.invalid/"),
    )
    error = ServerResponseError.from_response(response)
    if error is None:
        raise AssertionError(f"{status} isn't an error")
    return error


def not_found(message: str) -> ServerResponseError:
    """The server's answer to a question about something that doesn't exist."""
    return server_error(HTTPStatus.NOT_FOUND, "not_found", message)
