"""The service: catalogue, index, search and access behind FastAPI."""
