"""Quality on photographs: recall of float, int8 and code, through the real client and service; and not-found."""
