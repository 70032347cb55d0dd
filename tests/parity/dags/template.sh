echo "hello {{ params.who }} {{ ds }}"
