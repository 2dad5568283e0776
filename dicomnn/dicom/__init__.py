"""DICOM bytes <-> (what surrounds, pixel bytes). Bytes in, bytes out: no codec, torch or SQL.

``scan`` walks a file by position, ``splice`` cuts Pixel Data out and finds our private block again,
``eligibility`` says what may be coded and why not, ``encapsulated`` decodes losslessly compressed frames,
``attributes`` reads the few values that are indexed or needed, ``derive`` does the bookkeeping of lossy
objects.
"""
