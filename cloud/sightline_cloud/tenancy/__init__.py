"""Who asks: API keys, their scopes and their tenants."""
