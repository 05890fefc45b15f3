"""The TensorBoard plugin "Single Directions", and the summaries that feed it.

    summary.py   write ablation curves and unit tables into a log directory (NumPy only)
    metadata.py  the names and the JSON that writers and readers share
    loader.py    what TensorBoard imports at start-up; everything else waits for load()
    plugin.py    the routes; reading.py turns stored series into replies
    http_api.md  every route with an example
    demo.py      a synthetic log directory: `python -m tb_plugin.demo DIR`
    static/      the front end, plain ES modules

This package never imports repro, Keras or TensorFlow.
"""
