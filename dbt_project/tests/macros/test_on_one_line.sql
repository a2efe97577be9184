-- A line break, with the white space around it, is one space.
with

cases (given, expected) as (

    values
    (E'a\nb', 'a b'),
    (E'a \r\n\r\n  b c', 'a b c'),
    (E'a\u2028b', 'a b'),
    ('a  b', 'a  b')

)

select * from cases
where {{ on_one_line('given') }} is distinct from expected
