"""Measuring: our profiles beside the standards on a folder of DICOM files, in bytes, seconds and memory.

    folder    which files there are, of which series and group, and which are measured
    planes    a file's frames as every codec gets them, and the native file that ours gets
    peers     JPEG-LS, JPEG XL, JPEG 2000, HTJ2K: a plane in, a codestream out
    ours      a file in, a stored object out, by the functions that the node uses
    stages    one codec after another over all files, in worker processes; time and memory
    ratios    per series, then means with intervals by group
    savings   what the folder would take, by modality and year
    tables, plots, record   what is shown and kept
    run       the walk over all of that
    lossy     the lossy tier: curves beside lossy_peers, figures of lossy_points, lossy_speed, promises

The conventions are printed with every table and stand in docs/benchmark.md and
docs/lossy-measured.md.
"""
