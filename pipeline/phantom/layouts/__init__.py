"""The real datasets' own folders, files and quirks, filled with phantoms: one module per dataset."""
