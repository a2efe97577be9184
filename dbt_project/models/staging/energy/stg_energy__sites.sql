-- A country is written in small letters.
{% call reading(
    source('energy', 'sites'),
    {
        'id': 'integer',
        'name': 'text',
        'installation_date': 'date',
        'max_power_megawatt': 'numeric',
        'min_power_megawatt': 'numeric',
        'useful_energy_at_1_megawatt': 'numeric',
        'efficiency': 'numeric',
    },
    special={'country': 'text'}
) %}
    lower(country__text) as country
{% endcall %}
