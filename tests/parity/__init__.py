"""Stock Airflow as oracle: the same DAG there and here, and what differs."""
