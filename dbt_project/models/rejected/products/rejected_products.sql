with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

products_files as (

    select * from {{ source('shop', 'products') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    products_files.name,
    products_files.price,
    products_files.quantity,
    products_files.last_updated,
    products_files.barcode,
    products_files._malformed as malformed

from verdicts

inner join products_files
    on
        verdicts.load_id = products_files._load_id
        and verdicts.row_number = products_files._row_number

where verdicts.entity = 'products'
