"""Text with the picture: a text tower, the words themselves, and what both do to a search."""
