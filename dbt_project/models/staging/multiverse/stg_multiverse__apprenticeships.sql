-- An address is written in small letters.
{% call reading(
    source('multiverse', 'apprenticeships'),
    {
        'id': 'identifier',
        'programme_id': 'identifier',
        'name': 'text',
        'first_name': 'text',
        'last_name': 'text',
        'modified_date': 'timestamptz',
    },
    special={'email_address': 'text'}
) %}
    lower(email_address__text) as email_address
{% endcall %}
