{#- Stops a run on a database in which the platform's tables or the raw tables
    are missing, with the command that makes them. -#}
{% macro require_platform() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test', 'snapshot', 'seed') -%}
        {%- set missing = [] -%}
        {%- for source in graph.sources.values() -%}
            {%- set name = source.schema ~ '.' ~ source.identifier -%}
            {%- set found = run_query("select to_regclass('" ~ name ~ "') is not null")[0][0] -%}
            {%- if not found -%}{%- do missing.append(name) -%}{%- endif -%}
        {%- endfor -%}
        {%- if missing -%}
            {{ exceptions.raise_compiler_error(
                "This database is not prepared for Assay (no " ~ missing | join(', ')
                ~ "): run `assay db upgrade`."
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
