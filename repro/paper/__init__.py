"""What the paper claims, what was found, and how it is shown.

`claims` lists the claims, with the `rules` (of networks) and `unit_rules` (of units) that decide
them; `findings` and `verdicts` say what came out; `figures` and `panels` draw; `page` and `report`
write the report, `summaries` the TensorBoard events. Nothing here trains or lesions. Begin with
`claims`.
"""
