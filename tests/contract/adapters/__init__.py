"""One contract for every kind of network: each adapter with its simulated peer over real sockets, the same promises."""
