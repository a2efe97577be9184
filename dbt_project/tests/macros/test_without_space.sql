-- No white space is left inside either.
with

cases (given, expected) as (

    values
    (E'a\nb c\u00a0d\u200be', 'abcde'),
    ('abc', 'abc')

)

select * from cases
where {{ without_space('given') }} is distinct from expected
