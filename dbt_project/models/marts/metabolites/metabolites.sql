with

staged as (

    select * from {{ ref('stg_laboratory__metabolites') }}

)

select * from staged
