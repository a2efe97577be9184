{{ rejected_rows('sites', source('energy', 'sites')) }}
