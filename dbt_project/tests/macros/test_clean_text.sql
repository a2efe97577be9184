-- White space around a text is not part of it; nothing is null; a quote before
-- what a spreadsheet would run is taken away, but not before a number.
with

cases (given, expected) as (

    values
    (E' a b \t', 'a b'),
    (E'\u00a0a\u200b\ufeff', 'a'),
    (E'\r\n', null),
    ('', null),
    ('''=1+1', '=1+1'),
    (' ''''@a ', '''@a'),
    (E'\'\ta', E'\ta'),
    ('''-0.5', '''-0.5'),
    ('''+1e-3', '''+1e-3'),
    ('''-0.5-', '-0.5-'),
    ('''a=b', '''a=b'),
    ('5''-AMP', '5''-AMP')

)

select * from cases
where {{ clean_text('given') }} is distinct from expected
