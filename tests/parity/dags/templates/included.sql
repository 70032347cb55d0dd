select '{{ params.who }}' {% include "nested.txt" %}
