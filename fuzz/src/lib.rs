//! What the fuzz targets share.

pub mod cost;
pub mod room;
pub mod yrs_side;
