with

source as (

    select * from {{ source('shop', 'products') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('barcode') }} as barcode,
        {{ clean_text('name') }} as name,
        {{ clean_text('price') }} as price_given,
        {{ clean_text('quantity') }} as quantity_given,
        {{ clean_text('last_updated') }} as updated_given

    from source

),

renamed as (

    select
        *,

        ---------- numbers
        {{ to_number('price_given') }} as price,
        {{ to_integer('quantity_given') }} as quantity,

        ---------- timestamps
        {{ to_timestamp('updated_given') }} as last_updated

    from cleaned

),

noted as (

    select
        *,
        {{ problems({
            'price': 'price_given',
            'quantity': 'quantity_given',
            'last_updated': 'updated_given',
        }) }} as _problems

    from renamed

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,

    ---------- ids
    barcode,

    ---------- text
    name,

    ---------- numbers
    price,
    quantity,

    ---------- timestamps
    last_updated

from noted
