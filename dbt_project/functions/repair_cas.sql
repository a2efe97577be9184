-- depends_on: {{ function('is_cas_number') }}
-- A CAS number without what a spreadsheet or a typesetter made of it: other
-- dashes, blanks and characters of no width, brackets and quotes, `CAS:` or
-- `CAS RN` before it, a zero before the check digit. Only where the check digit
-- then fits; else the text as it came, as also where it is a date, which may
-- have been another number.
select
    case
        when
            is_cas_number(bare)
            and given !~ '^[0-9]{4}-(0[1-9]|1[0-2])-0[1-9]$'
            then bare
        else given
    end as repaired
from (
    select
        regexp_replace(
            regexp_replace(
                translate(
                    given,
                    E'\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d'
                    || E' \t\r\n\u00a0\u2007\u2009\u202f\u00ad\u200b\u200c'
                    || E'\u200d\u2060\ufeff[](){}''"\u2018\u2019\u201c\u201d',
                    '---------'
                ),
                '^CAS-?(RN|NO|NR|NUMBER)?[.:#]*',
                '',
                'i'
            ),
            '-0([0-9])$',
            '-\1'
        ) as bare
) as texts
