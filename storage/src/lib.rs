//! Where ysyncd keeps documents.
