-- depends_on: {{ function('is_standard_inchi') }}
-- The standard InChI that a text may be which lacks `InChI=`, or has it in
-- other letters; null where it would not be one.
select
    case when given <> whole and is_standard_inchi(whole) then whole end
        as proposed
from (
    select
        regexp_replace(given, '^(InChI *[=:]?)? *(?=1S/)', 'InChI=', 'i')
            as whole
) as texts
