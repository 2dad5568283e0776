"""The quality report of a study: typed rows (study), figures, one self-contained page (html).

Knows plain data and NumPy arrays only; who gathers them stands in ``dicomnn/flow/study.py`` (archive)
and ``dicomnn/cli/report.py`` (a folder of coded objects).
"""
