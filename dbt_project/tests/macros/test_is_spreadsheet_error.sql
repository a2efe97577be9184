-- Errors in letters of any case, and a column that is too narrow.
with

cases (given, expected) as (

    values
    ('#REF!', true),
    ('#ref!', true),
    ('#NAME?', true),
    ('#N/A', true),
    ('#DIV/0!', true),
    ('#####', true),
    ('#1', false),
    ('REF!', false),
    ('#', false),
    (null, null)

)

select * from cases
where ({{ is_spreadsheet_error('given') }}) is distinct from expected
