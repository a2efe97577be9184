with

staged as (

    select * from {{ ref('stg_energy__sites') }}

)

select * from staged
