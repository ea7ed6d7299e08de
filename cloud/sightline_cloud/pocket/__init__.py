"""The pocket index on the service's side: what devices carry with them, and how they are kept up to date."""
