//! Simulated worlds for ysyncd.
