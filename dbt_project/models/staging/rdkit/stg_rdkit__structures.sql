with

source as (

    select * from {{ source('rdkit', 'structures') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('id_inchi') }} as id_inchi,
        {{ clean_text('inchikey') }} as inchikey,
        {{ clean_text('molecular_formula') }} as molecular_formula,
        {{ clean_text('monoisotopic_mass') }} as monoisotopic_given,
        {{ clean_text('average_mass') }} as average_given,
        {{ clean_text('smiles') }} as smiles,
        {{ clean_text('parse_warnings') }} as parse_warnings,
        {{ clean_text('toolkit') }} as toolkit

    from source

),

renamed as (

    select
        *,

        ---------- numbers
        {{ to_number('monoisotopic_given') }} as monoisotopic_mass,
        {{ to_number('average_given') }} as average_mass

    from cleaned

),

noted as (

    select
        *,
        {{ default_of('structures', 'structure_id') }} as structure_id,
        {{ problems({
            'monoisotopic_mass': 'monoisotopic_given',
            'average_mass': 'average_given',
        }) }} as _problems

    from renamed

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,

    ---------- ids
    structure_id,
    id_inchi,
    inchikey,

    ---------- text
    molecular_formula,
    smiles,
    parse_warnings,
    toolkit,

    ---------- numbers
    monoisotopic_mass,
    average_mass

from noted
