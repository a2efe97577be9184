-- The contract calls this:
-- depends_on: {{ function('is_standard_inchi') }}
-- The warning of two features with one skeleton reads this:
-- depends_on: {{ ref('metabolites') }}

with

staged as (

    select * from {{ ref('stg_rdkit__structures') }}

)

select * from staged
