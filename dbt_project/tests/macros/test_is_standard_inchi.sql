-- depends_on: {{ function('is_standard_inchi') }}
-- Layers of a standard InChI in their order, and nothing else.
with

cases (given, expected) as (

    values
    ('InChI=1S/CH4/h1H4', true),
    ('InChI=1S/p+1', false),
    ('InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1', true),
    ('InChI=1S/2ClH.Zn/h2*1H;/q;;+2/p-2', true),
    ('InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3/i1D3', true),
    ('InChI=1/CH4/h1H4', false),
    ('InChI=1S/banana', false),
    ('InChI=1S//', false),
    ('inchi=1S/CH4/h1H4', false),
    ('CH4/h1H4', false),
    ('InChI=1S/CH4/h1H4 ', false),
    (null, null)

)

select * from cases
where is_standard_inchi(given) is distinct from expected
