"""Parts of `sightline bench edge`."""
