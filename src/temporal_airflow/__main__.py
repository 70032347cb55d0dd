"""``python -m temporal_airflow`` is the command ``temporal-airflow``."""

from temporal_airflow.cli import main

if __name__ == "__main__":
    main()
