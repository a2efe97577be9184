-- ASCII digits with a decimal point, digits kept; null for anything else.
with

cases (given, expected) as (

    values
    ('1', '1'),
    ('1.50', '1.50'),
    ('-0.5', '-0.5'),
    ('+5', '5'),
    ('.5', '0.5'),
    ('1.2E-3', '0.0012'),
    ('0,5', null),
    ('1 000', null),
    ('1_000', null),
    ('0x1F', null),
    ('NaN', null),
    ('Infinity', null),
    ('1e999999', null),
    ('1.2.3', null),
    (E'\u0661', null),
    ('', null)

)

select * from cases
where ({{ to_number('given') }})::text is distinct from expected
