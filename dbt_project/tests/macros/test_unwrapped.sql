-- The text of a formula that only wraps one; nothing else changes.
with

cases (given, expected) as (

    values
    ('="56-86-0"', '56-86-0'),
    ('=" a "', 'a'),
    ('="say ""a"""', 'say "a"'),
    ('=""', null),
    ('=1+1', '=1+1'),
    ('="a"&"b"', '="a"&"b"'),
    ('"a"', '"a"'),
    (null, null)

)

select * from cases
where {{ unwrapped('given') }} is distinct from expected
