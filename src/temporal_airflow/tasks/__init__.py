"""Running Airflow's tasks: the processes they live in and the API they talk to. Nothing here knows Temporal."""
