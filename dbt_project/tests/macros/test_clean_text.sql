-- White space around a text is not part of it, nor is the quote that an export
-- put before what a spreadsheet would run; nothing is null.
with

cases (given, expected) as (

    values
    (E' a b \t', 'a b'),
    (E'\u00a0a\u200b\ufeff', 'a'),
    (E'\r\n', null),
    ('', null),
    ('''=1+1', '=1+1'),
    (' ''''@x', '''@x'),
    (E'''\tx', E'\tx'),
    ('''-0.5', '''-0.5'),
    ('''', ''''),
    ('''a''', '''a''')

)

select * from cases
where {{ clean_text('given') }} is distinct from expected
