-- depends_on: {{ function('repair_cas') }}
-- Text comes back as it was where the check digit does not fit, and where it is
-- a date.
with

cases (given, expected) as (

    values
    ('56-86-0', '56-86-0'),
    ('14798-03-09', '14798-03-9'),
    ('14798-03-08', '14798-03-08'),
    (E'56\u201386\u20110', '56-86-0'),
    ('CAS: 56-86-0', '56-86-0'),
    ('cas no. 56-86-0', '56-86-0'),
    ('[CASRN 56-86-0]', '56-86-0'),
    ('''56-86-0', '56-86-0'),
    (E'56-86\u200b-0\u00a0', '56-86-0'),
    ('CAS: 56-86-1', 'CAS: 56-86-1'),
    ('1952-02-09', '1952-02-09'),
    ('water', 'water'),
    (null, null)

)

select * from cases
where repair_cas(given) is distinct from expected
