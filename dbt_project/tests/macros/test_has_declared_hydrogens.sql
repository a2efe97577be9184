-- depends_on: {{ function('has_declared_hydrogens') }}
-- Of real InChIs; the others have one hydrogen more or less, or end too early.
with

cases (given, expected) as (

    values
    ('InChI=1S/C3H6O/c1-3(2)4/h1-2H3', true),
    ('InChI=1S/C7H6O2/c8-7(9)6-4-2-1-3-5-6/h1-5H,(H,8,9)', true),
    ('InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3', true),
    ('InChI=1S/CH4N2O/c2-1(3)4/h(H4,2,3,4)', true),
    ('InChI=1S/H3N/h1H3/p+1', true),
    ('InChI=1S/CO2/c2-1-3', true),
    ('InChI=1S/Hg', true),
    ('InChI=1S/C3H7O/c1-3(2)4/h1-2H3', false),
    ('InChI=1S/C3H6O/c1-3(2)4', false),
    ('InChI=1S/C3H6O/c1-3(2)4/h1-', false),
    ('InChI=1S/C3H6O/c1-3(2)4/h1-99999999999H3', false),
    ('InChI=1S/2ClH.Zn/h2*1H;/q;;+2/p-2', null),
    ('InChI=1S/H2/h1H', null),
    (null, null)

)

select * from cases
where has_declared_hydrogens(given) is distinct from expected
