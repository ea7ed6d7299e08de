"""The service's commands; sightline_shared.cli finds them."""
