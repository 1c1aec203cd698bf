"""From records to a page people read: result tables, figures, contact sheets, one static HTML file."""
