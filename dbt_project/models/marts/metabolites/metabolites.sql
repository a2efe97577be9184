-- The contract calls these:
-- depends_on: {{ function('is_cas_number') }}
-- depends_on: {{ function('is_standard_inchi') }}
-- depends_on: {{ function('has_declared_hydrogens') }}

with

staged as (

    select * from {{ ref('stg_laboratory__metabolites') }}

)

select * from staged
