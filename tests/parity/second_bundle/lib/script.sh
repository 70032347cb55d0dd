echo "from a script of {{ dag.dag_id }}"
