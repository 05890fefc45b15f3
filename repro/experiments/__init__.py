"""Plans trainings and lesions, and runs them.

`plan` says what there is to do, and what is done. `schedule` hands jobs to workers, which an
`executor` starts: `local` on this machine, `ray` on a cluster, both as `processes`. `worker` is
what such a process does with its `task`; `leases` records which process works on which network.
`runs` is the folder of all results, and `collect` reads it. Nothing here interprets a result. Begin
with `plan`.
"""
