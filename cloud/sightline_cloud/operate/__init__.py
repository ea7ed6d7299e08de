"""What an operator can have done and shown: the commands and the admin endpoints call these."""
