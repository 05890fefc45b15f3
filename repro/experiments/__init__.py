"""Plans of trainings and lesions, and where they are worked on.

`jobs` says what is to be done for which figure, and does it; `executors` hands jobs to processes or
to a Ray cluster; `leases` says who works where; `runs` is the folder of all results, and `collect`
reads it. Nothing here says what a result means. Begin with `jobs`.
"""
