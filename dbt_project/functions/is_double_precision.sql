-- Finite and representable: between the smallest and the largest number of
-- double precision (IEEE 754). NaN is above every number in PostgreSQL.
select
    number = 0
    or abs(number) between 4.9406564584124654e-324 and 1.7976931348623157e308
