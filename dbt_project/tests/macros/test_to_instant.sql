-- Instants of ISO 8601; without an offset they are UTC. Null for anything else.
with

cases (given, expected) as (

    values
    ('2024-02-29T23:59:59Z', timestamptz '2024-02-29 23:59:59+00'),
    ('2024-02-29 23:59:59.5', timestamptz '2024-02-29 23:59:59.5+00'),
    ('2024-02-29T23:59', timestamptz '2024-02-29 23:59:00+00'),
    ('2024-02-29T23:59:59+05:30', timestamptz '2024-02-29 18:29:59+00'),
    ('2024-02-29T23:59:59-0230', timestamptz '2024-03-01 02:29:59+00'),
    ('2024-02-29 23:59+02', timestamptz '2024-02-29 21:59:00+00'),
    ('2024-02-29', null),
    ('2023-02-29T12:00:00Z', null),
    ('2024-02-28T24:00:00Z', null),
    ('2024-02-28T12:00:60Z', null),
    ('2024-02-28T12:00:00+16:00', null),
    ('2024-02-28T12:00:00.1234567Z', null),
    ('2024-02-28T12:00:00 Europe/Paris', null),
    ('02/28/2024 12:00', null),
    ('now', null)

)

select * from cases
where {{ to_instant('given') }} is distinct from expected
