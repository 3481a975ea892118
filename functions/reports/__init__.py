"""Reports: figures, tables and HTML pages."""
