{{ rejected_rows('encounters', source('synthea', 'encounters')) }}
