with

staged as (

    select * from {{ ref('stg_multiverse__programmes') }}

)

select * from staged
