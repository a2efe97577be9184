with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

metabolites_files as (

    select * from {{ source('laboratory', 'metabolites') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    verdicts.proposals,
    metabolites_files.features,
    metabolites_files.identification_level,
    metabolites_files.id_inchi,
    metabolites_files.cas_number,
    metabolites_files.method,
    metabolites_files.sample_data,
    metabolites_files._malformed as malformed

from verdicts

inner join metabolites_files
    on
        verdicts.load_id = metabolites_files._load_id
        and verdicts.row_number = metabolites_files._row_number

where verdicts.entity = 'metabolites'
