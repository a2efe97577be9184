with

source as (

    select * from {{ source('synthea', 'conditions') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('start') }} as start_given,
        {{ clean_text('stop') }} as stop_given,
        {{ clean_text('patient') }} as patient_given,
        {{ clean_text('encounter') }} as encounter_given,
        {{ clean_text('system') }} as system,
        {{ clean_text('code') }} as code,
        {{ clean_text('description') }} as description

    from source

),

renamed as (

    select
        *,

        ---------- ids
        {{ to_uuid('patient_given') }} as patient,
        {{ to_uuid('encounter_given') }} as encounter,

        ---------- dates
        {{ to_date('start_given') }} as start,
        {{ to_date('stop_given') }} as stop

    from cleaned

),

noted as (

    select
        *,
        {{ default_of('conditions', 'id') }} as id,
        {{ problems({
            'start': 'start_given',
            'stop': 'stop_given',
            'patient': 'patient_given',
            'encounter': 'encounter_given',
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
    id,
    patient,
    encounter,

    ---------- text
    system,
    code,
    description,

    ---------- dates
    start,
    stop

from noted
