"""The DAG bundle of the rehearsal."""
