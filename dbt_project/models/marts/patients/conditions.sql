with

staged as (

    select * from {{ ref('stg_synthea__conditions') }}

)

select * from staged
