"""Our side as a client of other nodes: echo, find, store, get and move, with the bytes as they are."""
