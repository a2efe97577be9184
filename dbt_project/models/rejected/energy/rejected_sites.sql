with

verdicts as (

    select * from {{ source('journal', 'verdicts') }}

),

sites_files as (

    select * from {{ source('energy', 'sites') }}

)

select
    verdicts.load_id,
    verdicts.row_number,
    verdicts.rules,
    sites_files.id,
    sites_files.name,
    sites_files.country,
    sites_files.installation_date,
    sites_files.max_power_megawatt,
    sites_files.min_power_megawatt,
    sites_files.useful_energy_at_1_megawatt,
    sites_files.efficiency,
    sites_files._malformed as malformed

from verdicts

inner join sites_files
    on
        verdicts.load_id = sites_files._load_id
        and verdicts.row_number = sites_files._row_number

where verdicts.entity = 'sites'
