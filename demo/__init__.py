"""The five-minute start: a node, three studies in, smaller, and back bit for bit. Run by ``make demo``.

It stands outside of the library on purpose: ``modality`` talks to the node over DICOM's network protocol
only, as a scanner and a viewer would, and compares bytes by itself.
"""
