"""The paper's claims, the verdicts on them, and the figures and reports.

`claims` lists the claims; `rules_networks` and `rules_units` decide them, each by a `rule` that
returns a `finding`. `measures` computes numbers from results, `series` says which results make one
curve, and `summary` is summary.json; `figures` and `panels` draw; `page` and `report` write the
report, `summaries` the TensorBoard events. `request` is what the commands `run`, `status` and
`report` are asked, and `command` obeys; these two alone know how results are made. Begin with
`claims`.
"""
