"""The node: sockets, worker processes, configuration and logs around the dicomnn library."""
