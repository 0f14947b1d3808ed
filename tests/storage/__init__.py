"""What the storage package promises, shown on real files, Delta tables and SQLite databases."""
