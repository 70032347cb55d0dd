"""The DAG of the rehearsal: what most DAG files do and most tasks go through, without any effect."""

from datetime import UTC, datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False, tags=["rehearsal"])
def rehearsed_dag() -> None:
    """Has a plain task and a mapped one."""

    @task
    def nothing(template: str = "{{ ds }}") -> str:
        return template

    @task
    def values() -> list[str]:
        return ["something"]

    @task
    def after(value: str) -> str:
        return value

    nothing() >> after.expand(value=values())


rehearsed_dag()
