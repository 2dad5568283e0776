"""The seed's codec: an image in [0, 1] -> a small file -> an image in [0, 1] that looks like it."""
