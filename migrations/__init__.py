"""The ledger's schema, version by version; forward only, on PostgreSQL and SQLite."""
