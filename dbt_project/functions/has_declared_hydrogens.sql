-- Whether the hydrogen layer of a standard InChI adds up to the hydrogens of
-- its formula. In the layer each list of atoms ends with what each of them has
-- (`2-9H,1H3`); behind the lists stand groups of atoms that share some
-- (`(H2,10,11)`). Null where several components share the layer, and for
-- hydrogen itself, whose own atom is in no layer. At most four digits to a
-- number: so nothing overflows.
with

layers as (

    select
        split_part(inchi, '/', 2) as formula,
        split_part(split_part(inchi, '/h', 2), '/', 1) as layer

),

parts as (

    select
        formula,
        split_part(layer, '(', 1) as lists,
        substr(layer, length(split_part(layer, '(', 1)) + 1) as shared
    from layers

)

select
    case
        when formula ~ '^[0-9]|[.]|^H[0-9]*$' then null
        when
            lists !~ '^([0-9]{1,4}(-[0-9]{1,4})?(H[0-9]{0,4})?(,|$))*$'
            then false
        else
            coalesce(
                nullif(substring(formula, 'H(?![a-z])([0-9]{0,4})'), '')
                ::integer,
                (formula ~ 'H(?![a-z])')::integer
            ) = (
                select
                    coalesce(sum(
                        coalesce(nullif(list[2], '')::integer, 1) * (
                            select
                                sum(1 + coalesce(
                                    nullif(split_part(atom, '-', 2), '')
                                    ::integer
                                    - split_part(atom, '-', 1)::integer,
                                    0
                                ))
                            from string_to_table(list[1], ',') as atom
                        )
                    ), 0)
                from
                    regexp_matches(
                        parts.lists, '([0-9][0-9,-]*)H([0-9]*)', 'g'
                    ) as list
            ) + case
                when shared = '' then 0
                else (
                    select
                        sum(coalesce(
                            nullif(substring(hydrogens, '^[0-9]{1,4}'), '')
                            ::integer,
                            1
                        ))
                    from string_to_table(parts.shared, '(H') as hydrogens
                    where hydrogens <> ''
                )
            end
    end as fits
from parts
