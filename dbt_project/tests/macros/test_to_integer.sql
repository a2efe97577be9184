-- Whole numbers, also as spreadsheets write them; null beyond the type's range.
with

cases (given, expected) as (

    values
    ('2', 2),
    ('2.0', 2),
    ('-3', -3),
    ('007', 7),
    ('2.5', null),
    ('32768', null),
    ('1e2', null),
    ('two', null)

)

select * from cases
where {{ to_integer('given', 'smallint') }} is distinct from expected
