"""What people read: comparison tables, figures, one HTML page and one Markdown page. Computes no metrics."""
