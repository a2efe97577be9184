-- depends_on: {{ function('is_cas_number') }}
-- The CAS numbers that a text may have been, where their check digits fit:
-- digits without hyphens, or a date or its serial number (day 1 is 1899-12-31),
-- which a spreadsheet makes of year-month-day, month-day-year, day-month-year.
-- Null where there is none. Which one is right nobody knows: people choose.
with

slashed as (

    select
        regexp_match(
            given, '^([0-9]{1,2})[/.]([0-9]{1,2})[/.]([0-9]{4})$'
        ) as parts

),

dates (year, month, day) as (

    select
        split_part(given, '-', 1),
        split_part(given, '-', 2),
        left(split_part(given, '-', 3), 2)
    where given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]00:00(:00)?)?$'

    union all

    select
        parts[3],
        parts[1],
        parts[2]
    from slashed

    union all

    select
        parts[3],
        parts[2],
        parts[1]
    from slashed

    union all

    select
        to_char(moment, 'YYYY'),
        to_char(moment, 'MM'),
        to_char(moment, 'DD')
    from (
        select
            date '1899-12-30'
            + case when given ~ '^[0-9]{1,6}$' then given::integer end as moment
    ) as serials
    where moment is not null

),

candidates (number) as (

    select regexp_replace(given, '^([0-9]+)([0-9]{2})([0-9])$', '\1-\2-\3')
    where given ~ '^[0-9]{5,10}$'

    union all

    select
        concat_ws(
            '-',
            orders.head,
            lpad(orders.middle, 2, '0'),
            regexp_replace(orders.digit, '^0(.)', '\1')
        )
    from dates
    cross join lateral (
        values
        (dates.year, dates.month, dates.day),
        (right(dates.year, 2), dates.month, dates.day),
        (dates.month, dates.day, substring(dates.year, '^200([0-9])$')),
        (dates.day, dates.month, substring(dates.year, '^200([0-9])$'))
    ) as orders (head, middle, digit)

)

select string_agg(distinct number, ' or ') as proposed
from candidates
where is_cas_number(number)
