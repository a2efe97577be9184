-- The apostrophe before a text is taken off, once.
with

cases (given, expected) as (

    values
    ('''0.5', '0.5'),
    ('''''', ''''),
    ('''', null),
    ('5''', '5'''),
    (null, null)

)

select * from cases
where {{ unquoted('given') }} is distinct from expected
