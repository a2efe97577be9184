with

staged as (

    select * from {{ ref('stg_library__books') }}

)

select * from staged
