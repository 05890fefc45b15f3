"""What data is taken, and where it comes from.

`given` is the one door for what users pass, in any form (with `arrays` and `reading`); `labelled`
reads the archives and folders that a command's flags name (`request`, with `pixels`); `source`,
`load`, `images` and `imagenet` are the paper's data sets. No model is asked here.
Begin with `given`.
"""
