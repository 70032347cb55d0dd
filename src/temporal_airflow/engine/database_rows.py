"""The rows of a run's database as plain values, and back: whatever Airflow has written there, a run goes on with it.

Values are those of SQLite, under the names of tables and columns; an image of the database would be tied to one
version of Airflow's schema. It must not know what any table is for.
"""

from __future__ import annotations

import base64
from typing import Any

from airflow.models.base import Base
from sqlalchemy import Table
from sqlalchemy.orm import Session

from temporal_airflow.models import TableRows


def read_rows(session: Session) -> dict[str, TableRows]:
    """All rows of all tables that have any."""
    session.flush()
    tables = {table.name: _read(table, session) for table in Base.metadata.sorted_tables}
    return {name: rows for name, rows in tables.items() if rows.count}


def write_rows(tables: dict[str, TableRows], session: Session) -> None:
    """Fill an empty database."""
    for table in Base.metadata.sorted_tables:
        if table.name in tables:
            _write(table, tables[table.name], session)
    session.commit()


def _read(table: Table, session: Session) -> TableRows:
    found = session.connection().exec_driver_sql(f'SELECT * FROM "{table.name}" ORDER BY rowid')
    names = list(found.keys())
    rows = found.all()
    same: dict[str, Any] = {}
    columns: dict[str, list[Any]] = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True) if rows else ():
        if values.count(values[0]) == len(values):
            same[name] = _plain(values[0])
        else:
            columns[name] = [_plain(value) for value in values]
    return TableRows(count=len(rows), same=same, columns=columns)


def _write(table: Table, rows: TableRows, session: Session) -> None:
    names = [column.name for column in table.columns if column.name in rows.same or column.name in rows.columns]
    values = [
        [_stored(value) for value in rows.columns[name]]
        if name in rows.columns
        else [_stored(rows.same[name])] * rows.count
        for name in names
    ]
    listed = ", ".join(f'"{name}"' for name in names)
    places = ", ".join("?" * len(names))
    session.connection().exec_driver_sql(
        f'INSERT INTO "{table.name}" ({listed}) VALUES ({places})', list(zip(*values, strict=True))
    )


def _plain(value: Any) -> Any:
    return [base64.b64encode(value).decode()] if isinstance(value, bytes) else value


def _stored(value: Any) -> Any:
    return base64.b64decode(value[0]) if isinstance(value, list) else value
