"""The gallery in PostgreSQL with pgvector."""
