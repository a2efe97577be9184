{{ reading(
    source('synthea', 'conditions'),
    {
        'patient': 'uuid',
        'encounter': 'uuid',
        'system': 'text',
        'code': 'identifier',
        'description': 'text',
        'start': 'date',
        'stop': 'date',
    },
    computed={'id': default_of('conditions', 'id')}
) }}
