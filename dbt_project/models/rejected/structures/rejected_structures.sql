{{ rejected_rows('structures', source('rdkit', 'structures')) }}
