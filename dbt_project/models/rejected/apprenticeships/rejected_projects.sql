with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

records as (

    select * from {{ source('multiverse', 'projects') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    records.id,
    records.apprenticeship_id,
    records.title,
    records.description,
    records.status,
    records._malformed as malformed

from verdicts

inner join records
    on
        verdicts.load_id = records._load_id
        and verdicts.row_number = records._row_number

where verdicts.entity = 'projects'
