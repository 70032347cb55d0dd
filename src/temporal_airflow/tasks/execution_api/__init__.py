"""Airflow's Execution API as the supervisor calls it, answered without HTTP, token or database."""
