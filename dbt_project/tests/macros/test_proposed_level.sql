-- Null for numbers, which need no proposal, and for other scales.
with

cases (given, expected) as (

    values
    ('level 1', '1'),
    ('MSI:3', '3'),
    ('Level=5.0', '5'),
    ('IV', '4'),
    ('ii', '2'),
    ('2a', null),
    ('level 6', null),
    ('1', null),
    ('high', null),
    (null, null)

)

select * from cases
where ({{ proposed_level('given') }}) is distinct from expected
