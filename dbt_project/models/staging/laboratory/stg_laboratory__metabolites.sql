-- depends_on: {{ function('is_standard_inchi') }}
with

noted as (

    {% call reading(
        source('laboratory', 'metabolites'),
        {},
        special={
            'feature': {
                'header': 'features',
                'type': 'text',
                'proposed': 'case when feature is null then '
                    ~ proposed_name('feature__text') ~ ' end',
            },
            'method': 'text',
            'identification_level': {
                'type': 'smallint',
                'proposed': 'case when identification_level is null then '
                    ~ proposed_level('identification_level__text') ~ ' end',
            },
            'id_inchi': {
                'type': 'identifier',
                'problem': 'null',
                'proposed': "case when not starts_with(id_inchi, 'InChI=1S/') then "
                    ~ function('propose_inchi') ~ '(id_inchi) end',
            },
            'cas_number': {
                'type': 'text',
                'problem': 'null',
                'proposed': 'case when not ' ~ is_cas_like('cas_number') ~ ' then '
                    ~ function('propose_cas') ~ '(cas_number) end',
            },
            'sample_value': {
                'header': 'sample_data',
                'type': 'numeric',
                'problem': "case when sample_status = 'measured' then sample_value__text end",
            },
            'sample_status': none,
        },
        computed={
            'metabolite_id': default_of('metabolites', 'metabolite_id'),
        },
        hints=[
            "case when _malformed like '%InChI=1%' then "
            ~ "'id_inchi: put an InChI with commas in quotes' end"
        ]
    ) %}
        ---------- ids
        {{ without_space('id_inchi__text') }} as id_inchi,
        -- The function is only asked about what is not plain.
        case
            when {{ is_cas_like('cas_number__text') }} then cas_number__text
            else {{ function('repair_cas') }}(cas_number__text)
        end as cas_number,

        ---------- text
        case
            when
                not ({{ is_spreadsheet_error('feature__text') }})
                and not {{ is_date_like('feature__text') }}
                -- A name with a quote before it only looks like a formula.
                and not (
                    starts_with(ltrim(feature__raw), '=')
                    and starts_with(feature__text, '=')
                )
                then feature__text
        end as feature,
        case
            when not ({{ is_spreadsheet_error('method__text') }})
                then method__text
        end as method,
        case
            when
                sample_value__text is null
                or upper(replace(sample_value__text, '.', ''))
                in ('NA', 'N/A', '#N/A')
                then 'not_available'
            when upper(replace(sample_value__text, '.', '')) = 'ND'
                then 'not_detected'
            else 'measured'
        end as sample_status,

        ---------- numbers
        case
            when identification_level__text is null
                then {{ default_of('metabolites', 'identification_level') }}
            else {{ to_integer('identification_level__text', 'smallint') }}
        end as identification_level,
        {{ to_number('sample_value__text') }} as sample_value
    {% endcall %}

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,
    _proposals,

    ---------- ids
    metabolite_id,
    id_inchi,
    cas_number,

    ---------- text
    feature,
    method,
    sample_status,

    ---------- numbers
    identification_level,
    sample_value,

    ---------- notes
    repairs

from noted
