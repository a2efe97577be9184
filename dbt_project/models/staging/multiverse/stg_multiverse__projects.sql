with

source as (

    select * from {{ source('multiverse', 'projects') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('id') }} as id,
        {{ clean_text('apprenticeship_id') }} as apprenticeship_id,
        {{ clean_text('title') }} as title,
        {{ clean_text('description') }} as description_given,
        {{ clean_text('status') }} as status_given

    from source

),

renamed as (

    select
        *,

        ---------- text
        {{ on_one_line('description_given') }} as description,
        lower(status_given) as status

    from cleaned

),

noted as (

    select
        *,
        {{ repairs({
            'description': 'description_given',
            'status': 'status_given',
        }) }} as repairs,
        {{ problems({}) }} as _problems

    from renamed

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,

    ---------- ids
    id,
    apprenticeship_id,

    ---------- text
    title,
    description,
    status,

    ---------- notes
    repairs

from noted
