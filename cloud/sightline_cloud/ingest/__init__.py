"""From photographs to items: read, embed, encode, store."""
