-- depends_on: {{ function('propose_inchi') }}
-- Only what then is a standard InChI.
with

cases (given, expected) as (

    values
    ('inchi=1S/CH4/h1H4', 'InChI=1S/CH4/h1H4'),
    ('1S/CH4/h1H4', 'InChI=1S/CH4/h1H4'),
    ('InChI: 1S/CH4/h1H4', 'InChI=1S/CH4/h1H4'),
    ('InChI=1S/CH4/h1H4', null),
    ('InChI=1/CH4/h1H4', null),
    ('1S/banana', null),
    (null, null)

)

select * from cases
where propose_inchi(given) is distinct from expected
