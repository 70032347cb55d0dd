# mypy: ignore-errors
raise AssertionError("nobody may import this: dag, airflow")
