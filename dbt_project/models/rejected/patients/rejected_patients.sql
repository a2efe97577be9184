{{ rejected_rows('patients', source('synthea', 'patients')) }}
