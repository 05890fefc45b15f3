"""Pages, pictures, tables and terminals without a word of the paper in them.

`html` makes pages from templates, `plots` has the parts of pictures, `tables` writes CSV and JSON,
`terminal` shows progress. Begin with `html`.
"""
