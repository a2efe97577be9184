with

staged as (

    select * from {{ ref('stg_synthea__encounters') }}

)

select * from staged
