"""Bringing another archive's studies in: inventory, forecast, transfer, verification, all from one ledger."""
