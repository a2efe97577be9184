with

source as (

    select * from {{ source('energy', 'sites') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('id') }} as id_given,
        {{ clean_text('name') }} as name,
        {{ clean_text('country') }} as country_given,
        {{ clean_text('installation_date') }} as date_given,
        {{ clean_text('max_power_megawatt') }} as max_given,
        {{ clean_text('min_power_megawatt') }} as min_given,
        {{ clean_text('useful_energy_at_1_megawatt') }} as useful_given,
        {{ clean_text('efficiency') }} as efficiency_given

    from source

),

renamed as (

    select
        *,

        ---------- ids
        {{ to_integer('id_given', 'integer') }} as id,

        ---------- text
        lower(country_given) as country,

        ---------- dates
        {{ to_date('date_given') }} as installation_date,

        ---------- numbers
        {{ to_number('max_given') }} as max_power_megawatt,
        {{ to_number('min_given') }} as min_power_megawatt,
        {{ to_number('useful_given') }} as useful_energy_at_1_megawatt,
        {{ to_number('efficiency_given') }} as efficiency

    from cleaned

),

noted as (

    select
        *,
        {{ repairs({'country': 'country_given'}) }} as repairs,
        {{ problems({
            'id': 'id_given',
            'installation_date': 'date_given',
            'max_power_megawatt': 'max_given',
            'min_power_megawatt': 'min_given',
            'useful_energy_at_1_megawatt': 'useful_given',
            'efficiency': 'efficiency_given',
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

    ---------- text
    name,
    country,

    ---------- dates
    installation_date,

    ---------- numbers
    max_power_megawatt,
    min_power_megawatt,
    useful_energy_at_1_megawatt,
    efficiency,

    ---------- notes
    repairs

from noted
