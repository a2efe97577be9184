-- Only before a number.
with

cases (given, expected) as (

    values
    (E'\u22120.5', '-0.5'),
    (E'\u20131', '-1'),
    (E'\u2212x', E'\u2212x'),
    (E'1\u22122', E'1\u22122'),
    ('-3', '-3'),
    (null, null)

)

select * from cases
where ({{ plain_minus('given') }}) is distinct from expected
