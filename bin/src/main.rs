//! The ysyncd binary.
fn main() {}
