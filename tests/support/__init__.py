"""Help for the tests: small real things, no mocks."""
