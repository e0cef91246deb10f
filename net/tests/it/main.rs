//! The server, spoken to over real sockets.
