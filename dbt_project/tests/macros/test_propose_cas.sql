-- depends_on: {{ function('propose_cas') }}
-- By hand: the check digits of 56-86-0, 1952-02-9, 10-02-6 and 2006-10-2 fit;
-- 19033 is the serial number of 1952-02-09.
with

cases (given, expected) as (

    values
    ('56860', '56-86-0'),
    ('56862', null),
    ('1952-02-09 00:00:00', '1952-02-9'),
    ('1952-02-09T00:00:00', '1952-02-9'),
    ('9/2/1952', '1952-02-9'),
    ('19033', '1952-02-9'),
    ('10/02/2006', '10-02-6 or 2006-10-2'),
    ('2005-03-09', null),
    ('water', null),
    ('99999999999', null),
    (null, null)

)

select * from cases
where propose_cas(given) is distinct from expected
