"""A DAG file that can't be imported, and says what it knows."""

from __future__ import annotations

from airflow.sdk import Connection, dag

raise ValueError(f"{dag.__name__} can't be imported with {Connection.get('planted').password}")
