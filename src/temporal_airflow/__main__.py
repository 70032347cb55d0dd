"""``python -m temporal_airflow`` is the command ``temporal-airflow``."""

from temporal_airflow.cli import run_and_leave

if __name__ == "__main__":
    run_and_leave()
