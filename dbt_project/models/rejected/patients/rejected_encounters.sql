with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

encounters_files as (

    select * from {{ source('synthea', 'encounters') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    encounters_files.id,
    encounters_files.start,
    encounters_files.stop,
    encounters_files.patient,
    encounters_files.organization,
    encounters_files.provider,
    encounters_files.payer,
    encounters_files.encounterclass,
    encounters_files.code,
    encounters_files.description,
    encounters_files.base_encounter_cost,
    encounters_files.total_claim_cost,
    encounters_files.payer_coverage,
    encounters_files.reasoncode,
    encounters_files.reasondescription,
    encounters_files._malformed as malformed

from verdicts

inner join encounters_files
    on
        verdicts.load_id = encounters_files._load_id
        and verdicts.row_number = encounters_files._row_number

where verdicts.entity = 'encounters'
