-- Whatever the check digit is.
with

cases (given, expected) as (

    values
    ('56-86-0', true),
    ('56-86-1', true),
    ('1310583-35-7', true),
    ('056-86-0', false),
    ('56860', false),
    (null, null)

)

select * from cases
where ({{ is_cas_like('given') }}) is distinct from expected
