"""The model card: one page and one JSON file that say what a bundle is, what it was measured to do, and what not."""
