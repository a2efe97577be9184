-- true and false in any case; null for anything else.
with

cases (given, expected) as (

    values
    ('true', true),
    ('FALSE', false),
    ('t', null),
    ('1', null),
    ('yes', null)

)

select * from cases
where {{ to_boolean('given') }} is distinct from expected
