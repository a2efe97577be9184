-- Layers of a standard InChI (version 1S) in their order: formula, connections,
-- hydrogens; charge, protons, stereo, isotopes. Fixed hydrogens and reconnected
-- metal layers never occur in one (InChI technical FAQ 4.3 and 4.7).
-- Three short patterns: PostgreSQL takes twice as long over one long pattern.
select
    inchi ~ (
        '^InChI=1S/[0-9]*([A-Z][a-z]?[0-9]*)+'
        || '(\.[0-9]*([A-Z][a-z]?[0-9]*)+)*(/|$)'
    )
    and inchi ~ (
        '^[^/]+/[^/]+(/c[0-9,;()*-]*)?(/h[0-9H,;()*DT-]*)?(/[qpbtmsi]|$)'
    )
    and (
        inchi !~ '/[qpbtmsi]'
        or inchi ~ (
            '^[^/]+/[^/]+(/[ch][^/]*)*(/q[0-9+;*-]*)?(/p[+-][0-9]+)?'
            || '(/b[0-9,;+?*u-]*)?(/t[0-9,;+?*umM-]*)?(/m[01.]+)?(/s[123])?'
            || '(/i[0-9A-Z,;+*/hbtms.?()-]*)?$'
        )
    )
