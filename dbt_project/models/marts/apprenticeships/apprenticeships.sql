with

staged as (

    select * from {{ ref('stg_multiverse__apprenticeships') }}

)

select * from staged
