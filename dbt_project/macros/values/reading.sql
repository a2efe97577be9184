{#- How staging reads the rows of a source table: each column by its type, in steps that are
    the same for all of them.

    given    the text, without white space around it
    text     without what spreadsheets and transport put around it or into it
    value    of the column's type; null where the text is none of it
    notes    what was changed on the way, what could not be read, what it may have been

    `columns` says what the rows have: {name: type}, or {name: {type, header}} where the source
    has the column under another name. The types are those of a contract, and `identifier`: a text
    that nobody reads as words, such as the number of an article, which begins with no apostrophe
    and has no invisible characters.

    What is special to a table stands in the block of a call: SQL over `<column>__text` and
    `<column>__given` (`<column>__raw` is the text as it came) that gives the columns of `special`:

        {% call reading(
            source('energy', 'sites'), {'name': 'text'}, special={'country': 'text'}
        ) %}
            lower(country__text) as country
        {% endcall %}

    There, `problem` is SQL for the text that could not be read where the value is null, `proposed`
    SQL for what it may have been; a column of none of the source's has none: {name: none}.
    `computed` are columns that follow from the others, {name: SQL over them}; `hints` are what else
    there is to propose for a row, each SQL for a sentence or null. -#}
{% macro reading(source_table, columns, special={}, computed={}, hints=[]) -%}
    {%- set read = {} -%}
    {%- for name, declared in dict(columns, **special).items() if declared -%}
        {%- set column = {'type': declared} if declared is string else declared -%}
        {%- do read.update({name: dict({'header': name}, **column)}) -%}
    {%- endfor %}
select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,
    _proposals,
    {%- for name in [computed, columns, special] | map('list') | sum(start=[]) %}
    {{ name }},
    {%- endfor %}
    repairs
from (
    {{ computed_once() }}
    select
        *
        {%- for name, expression in computed.items() %},
        {{ expression }} as {{ name }}
        {%- endfor %},
        {{ notes_of_reading(read) | indent(8) }}
        {%- if hints %} || array_remove(array[{{ hints | join(', ') }}], null){% endif %} as _proposals
    from (
        {{ computed_once() }}
        select
            *
            {%- for name in columns %},
            {{ value_of(name ~ '__text', read[name].type) }} as {{ name }}
            {%- endfor %}
            {%- if caller %},
            {{ caller() }}
            {%- endif %}
        from (
            {{ computed_once() }}
            select
                *
                {%- for name, column in read.items() %},
                {{ text_of(name ~ '__given', column.type) }} as {{ name }}__text
                {%- endfor %}
            from (
                {{ computed_once() }}
                select
                    {{ provenance() }}
                    {%- for name, column in read.items() %},
                    "{{ column.header }}" as {{ name }}__raw,
                    {{ clean_text('"' ~ column.header ~ '"') }} as {{ name }}__given
                    {%- endfor %}
                {#- No alias: under `--empty` dbt gives the table one of its own. #}
                from {{ source_table }}
            ) as given
        ) as texts
    ) as typed
) as noted
{%- endmacro %}

{#- Begins a subquery that PostgreSQL keeps apart from what is around it, since it has a `with`:
    a text is then computed once for each row, and not anew wherever a later step names it, which
    takes five times as long. A condition on the load still reaches the table, and several
    processes can work at it, neither of which `offset 0` leaves possible. -#}
{% macro computed_once() -%}
    with once as (select)
{%- endmacro %}

{#- A given text as its type wants it. Nearly all texts have nothing to mend: they are all ASCII
    and begin with none of the signs, which costs little to find out. -#}
{% macro text_of(given, data_type) -%}
    {%- set kind = kind_of(data_type) -%}
    {%- set signs = ["octet_length(" ~ given ~ ") > length(" ~ given ~ ")"] -%}
    {%- do signs.append("starts_with(" ~ given ~ ", '=')") -%}
    {%- set mended = unwrapped(given) -%}
    {%- if kind == 'text' -%}
        {%- set mended = composed(mended) -%}
    {%- else -%}
        {%- do signs.append("starts_with(" ~ given ~ ", '''')") -%}
        {%- set mended = without_invisible(unquoted(mended)) -%}
    {%- endif -%}
    {%- if kind == 'identifier' -%}
        {%- set mended = composed(mended) -%}
    {%- elif kind == 'number' or kind == 'integer' -%}
        {%- set mended = decimal_point(plain_minus(mended)) -%}
        {%- do signs.append('true') if source_declares('decimal') -%}
    {%- elif kind == 'date' or kind == 'instant' -%}
        {%- set mended = iso_date(mended) -%}
        {%- do signs.append('true') if source_declares('dates') -%}
    {%- endif -%}
    {%- if kind == 'instant' -%}
        {%- set mended = whole_microseconds(mended) -%}
        {%- do signs.append(given ~ " ~ '[.][0-9]{7}'") -%}
    {%- endif -%}
    case when {{ signs | join(' or ') }} then {{ mended }} else {{ given }} end
{%- endmacro %}

{#- A text as a value of its type; null where it is none. -#}
{% macro value_of(text, data_type) -%}
    {%- set kind = kind_of(data_type) -%}
    {%- if kind in ('text', 'identifier') -%}
        {{ text }}
    {%- elif kind == 'integer' -%}
        {{ to_integer(text, data_type) }}
    {%- elif kind == 'number' -%}
        {{ to_number(text, data_type) }}
    {%- elif kind == 'date' -%}
        {{ to_date(text) }}
    {%- elif kind == 'instant' -%}
        {{ to_timestamp(text) }}
    {%- elif kind == 'boolean' -%}
        {{ to_boolean(text) }}
    {%- else -%}
        {{ to_uuid(text) }}
    {%- endif -%}
{%- endmacro %}

{#- What a text may have been that is no value of its type; null where it may be two things. -#}
{% macro proposal_of(text, data_type) -%}
    {%- set kind = kind_of(data_type) -%}
    {%- if kind == 'number' -%}
        {{ proposed_number(text) }}
    {%- elif kind == 'integer' -%}
        substring({{ proposed_number(text) }} from '^[+-]?[0-9]+$')
    {%- elif kind in ('date', 'instant') -%}
        {{ proposed_date(text) }}
    {%- elif kind == 'boolean' -%}
        {{ proposed_boolean(text) }}
    {%- elif kind == 'uuid' -%}
        {{ proposed_uuid(text) }}
    {%- else -%}
        null::text
    {%- endif -%}
{%- endmacro %}

{#- `repairs`, `_problems` and the proposals of columns that were read. -#}
{% macro notes_of_reading(read) -%}
    {%- set repaired, unread, proposed = {}, {}, {} -%}
    {%- for name, column in read.items() -%}
        {%- set given, text = name ~ '__given', name ~ '__text' -%}
        {%- set problem = column.get('problem', text) -%}
        {%- do unread.update({name: problem}) -%}
        {#- Instants, numbers and the like have many texts: theirs is kept with its words. -#}
        {%- set kept = name if kind_of(column.type) in ('text', 'identifier', 'date', 'integer') else text -%}
        {%- do repaired.update({name: [given, kept, problem]}) -%}
        {%- if 'proposed' in column -%}
            {%- do proposed.update({name: [given, column.proposed]}) -%}
        {%- elif kind_of(column.type) not in ('text', 'identifier') -%}
            {%- do proposed.update({name: [
                given,
                'case when ' ~ name ~ ' is null then ' ~ proposal_of(text, column.type) ~ ' end',
            ]}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ repairs(repaired) }} as repairs,
    {{ problems(unread) }} as _problems,
    {{ proposals(proposed) }}
{%- endmacro %}

{#- Types that are read alike. -#}
{% macro kind_of(data_type) -%}
    {%- set kinds = {
        'text': 'text',
        'identifier': 'identifier',
        'smallint': 'integer',
        'integer': 'integer',
        'bigint': 'integer',
        'numeric': 'number',
        'double precision': 'number',
        'date': 'date',
        'timestamptz': 'instant',
        'boolean': 'boolean',
        'uuid': 'uuid',
    } -%}
    {%- set name = data_type.split('(')[0] | trim -%}
    {%- if name not in kinds -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ': there is no ordinary reading of ' ~ data_type ~ '; use '
            ~ kinds | join(', ') ~ ', or give the column in the block of the call.'
        ) }}
    {%- endif -%}
    {{ return(kinds[name]) }}
{%- endmacro %}
