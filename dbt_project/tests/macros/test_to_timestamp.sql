-- ISO 8601 with `T` or a blank, or a date, is an instant; UTC without offset.
with

cases (given, expected) as (

    values
    ('2024-02-29', timestamptz '2024-02-29 00:00:00Z'),
    ('2024-02-29T13:45', timestamptz '2024-02-29 13:45:00Z'),
    ('2024-02-29 13:45:10', timestamptz '2024-02-29 13:45:10Z'),
    ('2024-02-29T13:45:10.250Z', timestamptz '2024-02-29 13:45:10.25Z'),
    ('2024-02-29T13:45:10+02:00', timestamptz '2024-02-29 11:45:10Z'),
    ('2024-02-29 13:45:10-0530', timestamptz '2024-02-29 19:15:10Z'),
    ('2023-02-29T00:00:00Z', null),
    ('2024-02-29T13:45:10+02', timestamptz '2024-02-29 11:45:10Z'),
    ('2024-02-29T25:00', null),
    ('2024-02-29T24:00', null),
    ('2024-02-29T13:45:60Z', null),
    ('2024-02-29T13:45:10.1230000000Z', null),
    ('2024-02-29 13:45:10.1230000', timestamptz '2024-02-29 13:45:10.123Z'),
    ('2024-02-29t13:45:10.123000000z', timestamptz '2024-02-29 13:45:10.123Z'),
    ('2024-02-29 13:45:10 +02:00', timestamptz '2024-02-29 11:45:10Z'),
    ('2024-02-29T13:45 Europe/Paris', null),
    ('2024-02-29Z', null),
    ('29/02/2024 13:45', null),
    ('2024-02-29T13', null),
    ('2024-02-29 13:45 PM', null),
    ('now', null)

)

select * from cases
where {{ to_timestamp('given') }} is distinct from expected
