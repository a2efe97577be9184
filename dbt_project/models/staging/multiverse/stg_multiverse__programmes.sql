-- A description goes over several lines at the source.
{% call reading(
    source('multiverse', 'programmes'),
    {'id': 'identifier', 'name': 'text', 'duration': 'integer'},
    special={'description': 'text'}
) %}
    ---------- text
    {{ on_one_line('description__text') }} as description
{% endcall %}
