"""The database of one run: Airflow's schema in memory, copied from a template.

Creating Airflow's tables takes 50 ms, copying a finished database 0.2 ms; so the first run of a process makes the
template. A database belongs to one run and is disposed with it. It must not know what is stored.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool, StaticPool

COMPILED_STATEMENTS = 2000
"""How many statements are kept compiled; compiling one takes longer than running it."""


@cache
def _template() -> bytes:
    from airflow.models.base import Base

    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        Base.metadata.create_all(engine)
        connection = engine.raw_connection().driver_connection
        assert isinstance(connection, sqlite3.Connection)
        return connection.serialize()
    finally:
        engine.dispose()


def _connect() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.deserialize(_template())
    return connection


@cache
def _engine() -> Engine:
    """One for all runs of a process: each of its connections is a database, and they share compiled statements."""
    return create_engine("sqlite://", creator=_connect, poolclass=NullPool, query_cache_size=COMPILED_STATEMENTS)


_KEPT: list[Connection] = []
"""Connections of databases in use. A run that is garbage-collected disposes of its database: it must be there still."""


class RunDatabase:
    """An in-memory SQLite database with Airflow's tables and one session.

    Workflow activations move between threads but never overlap, hence ``check_same_thread=False`` on one connection.
    """

    def __init__(self) -> None:
        self._connection = _engine().connect()
        _KEPT.append(self._connection)
        self.session: Session = sessionmaker(self._connection, expire_on_commit=False)()

    def new_session(self) -> Session:
        """One more session of the same database."""
        return Session(self._connection, expire_on_commit=False)

    def dispose(self) -> None:
        """Close the session and free the memory; a second call does nothing."""
        self.session.close()
        self._connection.close()
        if self._connection in _KEPT:
            _KEPT.remove(self._connection)


class PatientSession:
    """A run's session for code of Airflow's that writes after each of many changes: here they are written at once.

    What is asked of the database sees them all the same: a query writes first.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __contains__(self, instance: object) -> bool:
        return instance in self._session

    def merge(self, instance: Any) -> Any:
        """What is in the session already needs no merging."""
        return instance if instance in self._session else self._session.merge(instance)

    def flush(self) -> None:
        """Later."""

    def commit(self) -> None:
        """Later."""


def prepare_template() -> None:
    """Make the template now, outside any workflow task."""
    _template()
