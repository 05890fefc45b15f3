"""Plans trainings and lesions, and runs them.

`jobs` plans the work for the figures and does it; `executors` hands jobs to processes or to a Ray
cluster; `leases` records which process works on which network; `runs` is the folder of all results,
and `collect` reads it. Nothing here interprets a result. Begin with `jobs`.
"""
