with

source as (

    select * from {{ source('library', 'books') }}

),

cleaned as (

    select
        {{ provenance() }},
        {{ clean_text('isbn') }} as isbn,
        {{ clean_text('title') }} as title,
        {{ clean_text('pages') }} as pages_given

    from source

),

cast_ as (

    select
        *,
        {{ to_integer('pages_given') }} as page_count
    from cleaned

)

select
    *,
    {{ problems({'page_count': 'pages_given'}) }} as _problems
from cast_
