"""Pages, tables and terminals without a word of the paper in them.

`html` makes pages from templates, `tables` writes CSV and JSON. Begin with `html`.
"""
