with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

patients_files as (

    select * from {{ source('synthea', 'patients') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    patients_files.id,
    patients_files.birthdate,
    patients_files.deathdate,
    patients_files.ssn,
    patients_files.drivers,
    patients_files.passport,
    patients_files.prefix,
    patients_files.first,
    patients_files.middle,
    patients_files.last,
    patients_files.suffix,
    patients_files.maiden,
    patients_files.marital,
    patients_files.race,
    patients_files.ethnicity,
    patients_files.gender,
    patients_files.birthplace,
    patients_files.address,
    patients_files.city,
    patients_files.state,
    patients_files.county,
    patients_files.fips,
    patients_files.zip,
    patients_files.lat,
    patients_files.lon,
    patients_files.healthcare_expenses,
    patients_files.healthcare_coverage,
    patients_files.income,
    patients_files._malformed as malformed

from verdicts

inner join patients_files
    on
        verdicts.load_id = patients_files._load_id
        and verdicts.row_number = patients_files._row_number

where verdicts.entity = 'patients'
