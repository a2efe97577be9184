{{ rejected_rows('apprenticeships', source('multiverse', 'apprenticeships')) }}
