-- Only the order is another, and it can be one day only.
with

cases (given, expected) as (

    values
    ('13/04/2026', '2026-04-13'),
    ('4/13/2026', '2026-04-13'),
    ('13.4.2026 10:30', '2026-04-13 10:30'),
    ('5-5-2026', '2026-05-05'),
    ('05/5/2026', null),
    ('03/04/2026', null),
    ('13/14/2026', '2026-14-13'),
    ('2026/04/13', '2026-04-13'),
    ('20260413T10:30:00Z', '2026-04-13T10:30:00Z'),
    ('13/04/26', null),
    ('soon', null),
    (null, null)

)

select * from cases
where ({{ proposed_date('given') }}) is distinct from expected
