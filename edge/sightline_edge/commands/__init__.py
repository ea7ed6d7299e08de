"""The SDK's commands; sightline_shared.cli finds them."""
