with

staged as (

    select * from {{ ref('stg_multiverse__projects') }}

)

select * from staged
