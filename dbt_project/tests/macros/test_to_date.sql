-- YYYY-MM-DD of a day that exists, or its midnight; null for anything else.
with

cases (given, expected) as (

    values
    ('2024-02-29', date '2024-02-29'),
    ('2023-02-29', null),
    ('29/02/2024', null),
    ('20240229', null),
    ('2024-02-29 00:00:00', date '2024-02-29'),
    ('2024-02-29T00:00:00.000', date '2024-02-29'),
    ('2024-02-29T00:00Z', date '2024-02-29'),
    ('2024-02-29 00:00:00+00:00', date '2024-02-29'),
    ('2024-02-29 00:00:01', null),
    ('2024-02-29T00:00:00+02:00', null),
    ('2023-02-29 00:00:00', null),
    ('today', null)

)

select * from cases
where {{ to_date('given') }} is distinct from expected
