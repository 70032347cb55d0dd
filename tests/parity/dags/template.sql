select '{{ ds }}'
