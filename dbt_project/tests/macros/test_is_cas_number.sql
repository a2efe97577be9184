-- depends_on: {{ function('is_cas_number') }}
-- Real numbers of each length pass (cas.org's own example is 107-07-3); any
-- other form and any other check digit does not; null is neither.
with

cases (given, expected) as (

    values
    ('107-07-3', true),
    ('50-00-0', true),
    ('7732-18-5', true),
    ('56-86-0', true),
    ('14798-03-9', true),
    ('144509-68-2', true),
    ('1310583-35-7', true),
    ('1310583-35-8', false),
    ('107-07-4', false),
    ('14798-03-09', false),
    ('0107-07-3', false),
    ('107073', false),
    ('2005-03-09', false),
    ('107-07-3 ', false),
    (null, null)

)

select * from cases
where is_cas_number(given) is distinct from expected
