{{ reading(source('shop', 'products'), {
    'barcode': 'identifier',
    'name': 'text',
    'price': 'numeric',
    'quantity': 'integer',
    'last_updated': 'timestamptz',
}) }}
