-- depends_on: {{ function('is_double_precision') }}
-- Finite, and neither too large nor too small for double precision.
with

cases (given, expected) as (

    values
    (0::numeric, true),
    (-1.5, true),
    (1e308, true),
    (1e309, false),
    (-1e309, false),
    (1e-323, true),
    (1e-324, false),
    ('NaN', false),
    ('Infinity', false),
    (null, null)

)

select * from cases
where is_double_precision(given) is distinct from expected
