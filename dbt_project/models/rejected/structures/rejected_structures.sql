with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

structures_files as (

    select * from {{ source('rdkit', 'structures') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    structures_files.id_inchi,
    structures_files.inchikey,
    structures_files.molecular_formula,
    structures_files.monoisotopic_mass,
    structures_files.average_mass,
    structures_files.smiles,
    structures_files.parse_warnings,
    structures_files.toolkit,
    structures_files._malformed as malformed

from verdicts

inner join structures_files
    on
        verdicts.load_id = structures_files._load_id
        and verdicts.row_number = structures_files._row_number

where verdicts.entity = 'structures'
