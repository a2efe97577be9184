with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

records as (

    select * from {{ source('multiverse', 'apprenticeships') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    records.id,
    records.name,
    records.programme_id,
    records.modified_date,
    records.first_name,
    records.last_name,
    records.email_address,
    records._malformed as malformed

from verdicts

inner join records
    on
        verdicts.load_id = records._load_id
        and verdicts.row_number = records._row_number

where verdicts.entity = 'apprenticeships'
