with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

conditions_files as (

    select * from {{ source('synthea', 'conditions') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    conditions_files.start,
    conditions_files.stop,
    conditions_files.patient,
    conditions_files.encounter,
    conditions_files.system,
    conditions_files.code,
    conditions_files.description,
    conditions_files._malformed as malformed

from verdicts

inner join conditions_files
    on
        verdicts.load_id = conditions_files._load_id
        and verdicts.row_number = conditions_files._row_number

where verdicts.entity = 'conditions'
