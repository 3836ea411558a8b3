"""The register in SQLite or PostgreSQL, by SQLAlchemy Core; one file a noun."""
