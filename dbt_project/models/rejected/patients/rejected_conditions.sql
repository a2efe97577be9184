{{ rejected_rows('conditions', source('synthea', 'conditions')) }}
