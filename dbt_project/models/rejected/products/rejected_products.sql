{{ rejected_rows('products', source('shop', 'products')) }}
