with

staged as (

    select * from {{ ref('stg_synthea__patients') }}

)

select * from staged
