with

staged as (

    select * from {{ ref('stg_shop__products') }}

)

select * from staged
