"""The index on any database that SQLAlchemy Core speaks to; what is special to one is in ``engine.py``."""
