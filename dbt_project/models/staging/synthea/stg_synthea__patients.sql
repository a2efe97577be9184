with

source as (

    select * from {{ source('synthea', 'patients') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('id') }} as id_given,
        {{ clean_text('birthdate') }} as birthdate_given,
        {{ clean_text('deathdate') }} as deathdate_given,
        {{ clean_text('ssn') }} as ssn,
        {{ clean_text('drivers') }} as drivers,
        {{ clean_text('passport') }} as passport,
        {{ clean_text('prefix') }} as prefix,
        {{ clean_text('first') }} as first,
        {{ clean_text('middle') }} as middle,
        {{ clean_text('last') }} as last,
        {{ clean_text('suffix') }} as suffix,
        {{ clean_text('maiden') }} as maiden,
        {{ clean_text('marital') }} as marital,
        {{ clean_text('race') }} as race,
        {{ clean_text('ethnicity') }} as ethnicity,
        {{ clean_text('gender') }} as gender,
        {{ clean_text('birthplace') }} as birthplace,
        {{ clean_text('address') }} as address,
        {{ clean_text('city') }} as city,
        {{ clean_text('state') }} as state,
        {{ clean_text('county') }} as county,
        {{ clean_text('fips') }} as fips,
        {{ clean_text('zip') }} as zip,
        {{ clean_text('lat') }} as lat_given,
        {{ clean_text('lon') }} as lon_given,
        {{ clean_text('healthcare_expenses') }} as healthcare_expenses_given,
        {{ clean_text('healthcare_coverage') }} as healthcare_coverage_given,
        {{ clean_text('income') }} as income_given

    from source

),

renamed as (

    select
        *,

        ---------- ids
        {{ to_uuid('id_given') }} as id,

        ---------- dates
        {{ to_date('birthdate_given') }} as birthdate,
        {{ to_date('deathdate_given') }} as deathdate,

        ---------- numbers
        {{ to_number('lat_given') }} as lat,
        {{ to_number('lon_given') }} as lon,
        {{ to_number('healthcare_expenses_given') }} as healthcare_expenses,
        {{ to_number('healthcare_coverage_given') }} as healthcare_coverage,
        {{ to_number('income_given') }} as income

    from cleaned

),

noted as (

    select
        *,
        {{ problems({
            'id': 'id_given',
            'birthdate': 'birthdate_given',
            'deathdate': 'deathdate_given',
            'lat': 'lat_given',
            'lon': 'lon_given',
            'healthcare_expenses': 'healthcare_expenses_given',
            'healthcare_coverage': 'healthcare_coverage_given',
            'income': 'income_given',
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
    ssn,
    drivers,
    passport,
    prefix,
    first,
    middle,
    last,
    suffix,
    maiden,
    marital,
    race,
    ethnicity,
    gender,
    birthplace,
    address,
    city,
    state,
    county,
    fips,
    zip,

    ---------- dates
    birthdate,
    deathdate,

    ---------- numbers
    lat,
    lon,
    healthcare_expenses,
    healthcare_coverage,
    income

from noted
