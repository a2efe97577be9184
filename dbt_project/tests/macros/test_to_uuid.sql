-- The form of RFC 9562, in any case; null for anything else.
with

cases (given, expected) as (

    values
    (
        '6BA7B810-9dad-11d1-80b4-00c04fd430c8',
        uuid '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
    ),
    ('6ba7b8109dad11d180b400c04fd430c8', null),
    ('{6ba7b810-9dad-11d1-80b4-00c04fd430c8}', null),
    ('6ba7b810', null)

)

select * from cases
where {{ to_uuid('given') }} is distinct from expected
