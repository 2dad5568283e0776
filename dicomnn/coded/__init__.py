"""The stored object: a DICOM file whose Pixel Data was replaced by a DICOMNN private block.

``seal`` makes one and proves it, ``restore`` gives the original back, ``egress`` serves a peer
that lacks the received transfer syntax. This room joins ``dicomnn.dicom`` (bytes) and
``dicomnn.codec`` (arrays), which know nothing of each other.
"""
