with

source as (

    select * from {{ source('multiverse', 'programmes') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('id') }} as id,
        {{ clean_text('name') }} as name,
        {{ clean_text('duration') }} as duration_given,
        {{ clean_text('description') }} as description_given

    from source

),

renamed as (

    select
        *,

        ---------- text
        {{ on_one_line('description_given') }} as description,

        ---------- numbers
        {{ to_integer('duration_given', 'integer') }} as duration

    from cleaned

),

noted as (

    select
        *,
        {{ repairs({'description': 'description_given'}) }} as repairs,
        {{ problems({'duration': 'duration_given'}) }} as _problems

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

    ---------- text
    name,
    description,

    ---------- numbers
    duration,

    ---------- notes
    repairs

from noted
