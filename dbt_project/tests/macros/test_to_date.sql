-- YYYY-MM-DD of a day that exists; null for anything else.
with

cases (given, expected) as (

    values
    ('2024-02-29', date '2024-02-29'),
    ('2023-02-29', null),
    ('29/02/2024', null),
    ('20240229', null),
    ('today', null)

)

select * from cases
where {{ to_date('given') }} is distinct from expected
