"""DIMSE services of the node (PS3.7, PS3.8), on pynetdicom's upper layer."""
