"""Training of the lossy tier's model: what the small networks see, their loss, integers, tables, release."""
