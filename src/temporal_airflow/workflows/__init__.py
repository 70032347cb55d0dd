"""Temporal workflows: they interpret the engine's commands and know Airflow only through it."""
