{{ rejected_rows('programmes', source('multiverse', 'programmes')) }}
