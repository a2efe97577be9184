with

source as (

    select * from {{ source('synthea', 'encounters') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('id') }} as id_given,
        {{ clean_text('start') }} as start_given,
        {{ clean_text('stop') }} as stop_given,
        {{ clean_text('patient') }} as patient_given,
        {{ clean_text('organization') }} as organization_given,
        {{ clean_text('provider') }} as provider_given,
        {{ clean_text('payer') }} as payer_given,
        {{ clean_text('encounterclass') }} as encounterclass,
        {{ clean_text('code') }} as code,
        {{ clean_text('description') }} as description,
        {{ clean_text('base_encounter_cost') }} as base_encounter_cost_given,
        {{ clean_text('total_claim_cost') }} as total_claim_cost_given,
        {{ clean_text('payer_coverage') }} as payer_coverage_given,
        {{ clean_text('reasoncode') }} as reasoncode,
        {{ clean_text('reasondescription') }} as reasondescription

    from source

),

renamed as (

    select
        *,

        ---------- ids
        {{ to_uuid('id_given') }} as id,
        {{ to_uuid('patient_given') }} as patient,
        {{ to_uuid('organization_given') }} as organization,
        {{ to_uuid('provider_given') }} as provider,
        {{ to_uuid('payer_given') }} as payer,

        ---------- dates
        {{ to_timestamp('start_given') }} as start,
        {{ to_timestamp('stop_given') }} as stop,

        ---------- numbers
        {{ to_number('base_encounter_cost_given') }} as base_encounter_cost,
        {{ to_number('total_claim_cost_given') }} as total_claim_cost,
        {{ to_number('payer_coverage_given') }} as payer_coverage

    from cleaned

),

noted as (

    select
        *,
        {{ problems({
            'id': 'id_given',
            'start': 'start_given',
            'stop': 'stop_given',
            'patient': 'patient_given',
            'organization': 'organization_given',
            'provider': 'provider_given',
            'payer': 'payer_given',
            'base_encounter_cost': 'base_encounter_cost_given',
            'total_claim_cost': 'total_claim_cost_given',
            'payer_coverage': 'payer_coverage_given',
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
    organization,
    provider,
    payer,

    ---------- text
    encounterclass,
    code,
    description,
    reasoncode,
    reasondescription,

    ---------- dates
    start,
    stop,

    ---------- numbers
    base_encounter_cost,
    total_claim_cost,
    payer_coverage

from noted
