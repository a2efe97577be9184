-- Days, months and years in the forms that spreadsheets show.
with

cases (given, expected) as (

    values
    ('1-Mar', true),
    ('Mar-01', true),
    ('2-Oct-2001', true),
    ('2001-03-01', true),
    ('2001-03-01 00:00:00', true),
    ('01/03/2001', true),
    ('1.3.2001', true),
    ('2-Octanol', false),
    ('Mar-a', false),
    ('65-85-0', false),
    ('3-Mar-x', false),
    (null, null)

)

select * from cases
where ({{ is_date_like('given') }}) is distinct from expected
