-- A day and a month show which name they were, and a formula what it is of.
with

cases (given, expected) as (

    values
    ('1-Mar', 'MAR1'),
    ('02-oct', 'OCT2'),
    ('=-catechin', '-catechin'),
    ('Mar-01', null),
    ('1-methyl', null),
    ('2001-03-01', null),
    (null, null)

)

select * from cases
where ({{ proposed_name('given') }}) is distinct from expected
