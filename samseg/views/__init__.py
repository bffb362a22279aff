"""Views: figures, the report page and text tables, from values in memory; no storage access."""
