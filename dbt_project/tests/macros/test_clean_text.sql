-- White space around a text is not part of it; nothing is null.
with

cases (given, expected) as (

    values
    (E' a b \t', 'a b'),
    (E'\u00a0a\u200b\ufeff', 'a'),
    (E'\r\n', null),
    ('', null)

)

select * from cases
where {{ clean_text('given') }} is distinct from expected
