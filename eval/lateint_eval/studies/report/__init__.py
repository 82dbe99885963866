"""The report of a study: one HTML page with plots and tables."""
