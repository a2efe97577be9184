-- A moment of ISO 8601 with its zone; null for anything else.
with

cases (given, expected) as (

    values
    ('2019-11-30T09:15:00Z', timestamptz '2019-11-30 09:15:00+00'),
    ('2019-11-30T09:15Z', timestamptz '2019-11-30 09:15:00+00'),
    ('2019-11-30T09:15:00+02:00', timestamptz '2019-11-30 07:15:00+00'),
    ('2019-11-30T09:15:00.25Z', timestamptz '2019-11-30 09:15:00.25+00'),
    ('2019-11-30T09:15:00', null),
    ('2019-11-30 09:15:00Z', null),
    ('2019-11-31T09:15:00Z', null),
    ('2019-11-30T24:00:00Z', null),
    ('2019-11-30T09:15:60Z', null),
    ('2019-11-30', null),
    ('now', null),
    ('', null)

)

select * from cases
where {{ to_timestamp('given') }} is distinct from expected
