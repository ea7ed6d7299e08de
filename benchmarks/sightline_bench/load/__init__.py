"""The service under load: open-loop arrivals over real sockets, beside the plainest handler over the same index."""
