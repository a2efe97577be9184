-- What is finer than a microsecond is cut, and never rounded.
with

cases (given, expected) as (

    values
    ('12:00:00.1234567', '12:00:00.123456'),
    ('12:00:00.9999999Z', '12:00:00.999999Z'),
    ('12:00:00.123456789+01:00', '12:00:00.123456+01:00'),
    ('12:00:00.1234560', '12:00:00.1234560'),
    ('12:00:00.000000000', '12:00:00.000000000'),
    ('12:00:00', '12:00:00'),
    (null, null)

)

select * from cases
where {{ whole_microseconds('given') }} is distinct from expected
