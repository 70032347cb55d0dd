"""Four tasks that pass data along: extract numbers, work on them in two ways at once, report."""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), catchup=False, tags=["example"])
def simple_dag():
    """Total and largest of some numbers."""

    @task
    def extract() -> list[int]:
        return [3, 1, 4, 1, 5, 9, 2, 6]

    @task
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @task
    def largest(numbers: list[int]) -> int:
        return max(numbers)

    @task
    def report(total: int, largest: int) -> str:
        message = f"total {total}, largest {largest}"
        print(message)
        return message

    numbers = extract()
    report(total(numbers), largest(numbers))


simple_dag()
