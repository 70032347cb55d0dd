raise AssertionError("nobody may import this: dag, airflow")
