"""Sensitive routing: which queries must not be answered like a product, by a reviewed file, and how they are answered."""
