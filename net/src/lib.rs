//! The network side of ysyncd.
