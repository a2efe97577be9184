-- 32 hexadecimal digits in groups of 8, 4, 4, 4, 12; null for anything else.
with

cases (given, expected) as (

    values
    (
        '1D604DA9-9a81-4ba9-80c2-de3375d59b40',
        '1d604da9-9a81-4ba9-80c2-de3375d59b40'
    ),
    ('1d604da99a814ba980c2de3375d59b40', null),
    ('{1d604da9-9a81-4ba9-80c2-de3375d59b40}', null),
    ('{d604da9-9a81-4ba9-80c2-de3375d59b4}', null),
    ('1d60-4da9-9a81-4ba9-80c2-de3375d59b40', null),
    ('1d604da9-9a81-4ba9-80c2-de3375d59b4', null),
    ('1d604da9-9a81-4ba9-80c2-de3375d59bxx', null),
    ('', null)

)

select * from cases
where ({{ to_uuid('given') }})::text is distinct from expected
