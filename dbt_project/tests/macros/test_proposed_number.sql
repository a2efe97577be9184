-- Null for plain numbers, and where the text may be two numbers.
with

cases (given, expected) as (

    values
    ('0,0167', '0.0167'),
    ('0,016', '0.016'),
    ('-12,5', '-12.5'),
    ('1234,567', '1234.567'),
    ('1,2E-3', '1.2E-3'),
    ('1,234', null),
    ('12,345', null),
    ('1.234,56', null),
    ('1,234.56', null),
    ('1 234.5', '1234.5'),
    (E'12\u202f345\u00a0678', '12345678'),
    ('12''345', '12345'),
    ('1 23', null),
    ('0.5', null),
    ('abc', null),
    (null, null)

)

select * from cases
where ({{ proposed_number('given') }}) is distinct from expected
