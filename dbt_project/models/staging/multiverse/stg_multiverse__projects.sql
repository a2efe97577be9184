-- A description goes over several lines at the source.
{% call reading(
    source('multiverse', 'projects'),
    {'id': 'identifier', 'apprenticeship_id': 'identifier', 'title': 'text'},
    special={'description': 'text', 'status': 'text'}
) %}
    ---------- text
    {{ on_one_line('description__text') }} as description,
    lower(status__text) as status
{% endcall %}
