{{ reading(
    source('rdkit', 'structures'),
    {
        'id_inchi': 'identifier',
        'inchikey': 'identifier',
        'molecular_formula': 'identifier',
        'smiles': 'identifier',
        'parse_warnings': 'text',
        'toolkit': 'text',
        'monoisotopic_mass': 'numeric',
        'average_mass': 'numeric',
    },
    computed={'structure_id': default_of('structures', 'structure_id')}
) }}
