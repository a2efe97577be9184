{{ rejected_rows('metabolites', source('laboratory', 'metabolites')) }}
