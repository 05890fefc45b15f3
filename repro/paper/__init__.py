"""The paper's claims, the verdicts on them, and the figures and reports.

`claims` lists the claims, with the `rules` (of networks) and `unit_rules` (of units) that decide
them; `findings` and `verdicts` say what came out; `figures` and `panels` draw; `page` and `report`
write the report, `summaries` the TensorBoard events. `request` is what the commands `run`, `status`
and `report` are asked, and `command` obeys; these two alone know how results are made. Begin with
`claims`.
"""
