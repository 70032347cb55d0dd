"""Namespaces of features that this version can't serve: each call is refused by the feature's name.

It must not know anything of the features but their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from temporal_airflow.exceptions import UnsupportedFeatureError


@dataclass(frozen=True)
class Unsupported:
    """A namespace without a single working call."""

    feature: str

    def __getattr__(self, call: str) -> Callable[..., NoReturn]:
        if call.startswith("__"):
            raise AttributeError(call)
        return self._refuse

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise UnsupportedFeatureError(unsupported(self.feature))


def unsupported(feature: str) -> str:
    """The message of a refusal."""
    return f"{feature} isn't supported in this version of temporal-airflow"
