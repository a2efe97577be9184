{{ rejected_rows('projects', source('multiverse', 'projects')) }}
