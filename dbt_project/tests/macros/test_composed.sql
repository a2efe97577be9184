-- Letters with marks are one character each; what is composed stays.
with

cases (given, expected) as (

    values
    (E'Me\u0301thanol', E'M\u00e9thanol'),
    (E'M\u00e9thanol', E'M\u00e9thanol'),
    ('plain', 'plain'),
    (E'\u03b2', E'\u03b2'),
    (null, null)

)

select * from cases
where ({{ composed('given') }}) is distinct from expected
