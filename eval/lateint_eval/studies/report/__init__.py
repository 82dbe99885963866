"""The report of a study: one page of HTML, its plots and tables."""
