"""What is known of chemistry: structures by RDKit, and the field's exchange formats.

The project's YAML names these modules (`config.meta.enrich`, `config.meta.load.exchange`); nothing
else of Assay knows of them.
"""
